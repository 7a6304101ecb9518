"""What the inline engine keeps: a namespace in the place of a worker, and jobs with what they brought.

Owns these two records. Never decides what runs. Read next: `inline.py`.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cellmesh.scheduler.wire.messages import (
    Item,
    JobInfo,
    Output,
    Payload,
    Progress,
    Report,
    Run,
    TaskWire,
    WorkerInfo,
)
from cellmesh.scheduler.worker.modules import LocalModules
from cellmesh.scheduler.worker.runner import Runner

from .contract import JobSpec, Sink


class InlineJob:
    """A job, what it brought so far, and what is still wanted of it."""

    def __init__(self, spec: JobSpec, number: int) -> None:
        self.spec = spec
        self.sealed = False
        self.cancelled = False
        self.halted = ""  # why no more of it runs
        self.unwanted: set[int] = set()
        self.tasks: dict[int, TaskWire] = {}
        self.settled: dict[int, tuple[str, str, int | None]] = {}
        self._claimed: set[int] = set()
        self._number = number
        self._opened = time.time()
        self._outputs: list[Output] = []
        self._items: dict[int, list[tuple[int | None, Item]]] = {}
        self._counts = {"items": 0, "done": 0, "failed": 0, "running": 0}

    @property
    def finished(self) -> bool:
        """Nothing of it runs and nothing will come."""
        return (self.sealed or bool(self.halted)) and self.settled.keys() >= self.tasks.keys()

    def add(self, tasks: Sequence[TaskWire]) -> list[TaskWire]:
        """Take those that are new."""
        fresh = [task for task in tasks if task.index not in self.tasks and task.index not in self._claimed]
        for task in fresh:
            self.tasks[task.index] = task
            self._counts["items"] += task.size
        return fresh

    def halt(self, why: str) -> None:
        """Nothing more of it runs."""
        self.halted = self.halted or why

    def running(self, change: int) -> None:
        """A task of it begins (1) or is over (-1)."""
        self._counts["running"] += change

    def keep_output(self, output: Output) -> None:
        """Remember for whoever attaches."""
        self._outputs.append(output)

    def keep_items(self, task: int, worker: int | None, items: Sequence[Item]) -> None:
        """Remember until claimed."""
        self._items.setdefault(task, []).extend((worker, item) for item in items)
        failed = sum(not item.ok for item in items)
        self._counts["done"] += len(items) - failed
        self._counts["failed"] += failed

    def forget(self, tasks: Sequence[int] | None) -> None:
        """The user has these results. What is not over is not forgotten."""
        for task in list(self.tasks) if tasks is None else tasks:
            if task in self.settled and task in self.tasks:
                del self.tasks[task]
                self._items.pop(task, None)
                self._claimed.add(task)

    def replay(self, sink: Sink) -> None:
        """Send everything that is kept."""
        for output in self._outputs:
            sink.output(output)
        for task, kept in self._items.items():
            for worker, item in kept:
                sink.items(self.spec.job, task, worker, [item])
        for task in self.tasks:
            if task in self.settled:
                sink.settled(self.spec.job, task, *self.settled[task])

    def info(self) -> JobInfo:
        """As a list shows it."""
        spec = self.spec
        return JobInfo(
            id=spec.job,
            number=self._number,
            kind=spec.kind,
            title=spec.title,
            background=spec.background,
            finished=self.finished,
            cancelled=self.cancelled,
            opened=self._opened,
            cell=spec.cell,
            **self._counts,  # type: ignore[arg-type]  # mypy takes them for any field
        )


class InlineWorker:
    """A namespace with a runner: what a worker process has, without the process."""

    def __init__(self, identity: int, number: int | None, sink: Sink, modules: LocalModules) -> None:
        self.number = number
        self.at_work: tuple[int, int, int] | None = None  # (job, task, attempt)
        self._identity = identity
        self._sink = sink
        self._modules = modules
        self._job: InlineJob | None = None
        self._outcome: str | None = None
        self.runner = self._make(None)

    def _make(self, namespace: dict[str, Any] | None) -> Runner:
        label = "the notebook's process" if self.number is None else f"worker {self.number}"
        return Runner(
            number=self.number,
            label=f"{label} (inline)",
            prefix="",
            emit=self._emit,
            report=self._report,
            namespace=namespace,
            modules=self._modules,
        )

    def run(self, run: Run, blobs: Mapping[str, Payload], job: InlineJob | None, shell: Any) -> str | None:
        """Run one task now; its outcome."""
        before = (self.runner, self.at_work, self._job, self._outcome)
        if self.at_work is not None:  # a task that submits another: its own output and items go on after it
            self.runner = self._make(self.runner.namespace)
        runner = self.runner
        runner.context = ""  # the notebook's own surroundings were put back since
        self.at_work = (run.job, run.task.index, run.attempt)
        self._job, self._outcome = job, None
        if job is not None:
            job.running(1)
        try:
            with runner.streams.borrowed(), runner.notebook.borrowed(shell):
                runner.run(run, blobs)
            return self._outcome
        except KeyboardInterrupt:  # the notebook's Stop hit the machinery instead of the user's code
            return "interrupted"
        finally:
            if job is not None:
                job.running(-1)
            if runner is not before[0]:
                runner.close()
            self.runner, self.at_work, self._job, self._outcome = before

    def close(self) -> None:
        """Let go of what the runner holds."""
        self.runner.close()

    def info(self) -> WorkerInfo:
        """As a client sees it."""
        return WorkerInfo(
            number=self.number if self.number is not None else -1,
            id=self._identity,
            pid=os.getpid(),
            state="busy" if self.at_work else "idle",
            gpus=[],
            names=self.runner.names(),
        )

    def _emit(self, output: Output | Progress) -> None:
        if isinstance(output, Progress):
            self._sink.progress(output)
        elif self._job is not None:
            self._job.keep_output(output)
            self._sink.output(output)

    def _report(self, report: Report) -> None:
        if report.items and self._job is not None:
            self._job.keep_items(report.task, self.number, report.items)
            self._sink.items(report.job, report.task, self.number, report.items)
            self._sink.flushed()
        self._outcome = report.outcome or self._outcome
