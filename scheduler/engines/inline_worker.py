"""A namespace in the place of a worker, and several of them in the place of a mesh.

Owns what a worker process has, without the process. Never decides what runs.
Read next: `inline.py`, `cellmesh/scheduler/worker/runner.py`.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cellmesh.scheduler.wire.messages import Output, Payload, Progress, Report, Run, WorkerInfo
from cellmesh.scheduler.worker.modules import LocalModules
from cellmesh.scheduler.worker.runner import Runner

from .contract import Sink
from .ledger import Ledger

NO_MESH = "no mesh workers: start them with %mesh start"


class InlineWorker:
    """A namespace with a runner: what a worker process has, without the process."""

    def __init__(self, identity: int, number: int | None, sink: Sink, modules: LocalModules) -> None:
        self.number = number
        self.at_work: tuple[int, int, int] | None = None  # (job, task, attempt)
        self._identity = identity
        self._sink = sink
        self._modules = modules
        self._job: Ledger | None = None
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

    def run(self, run: Run, blobs: Mapping[str, Payload], job: Ledger | None, shell: Any) -> str | None:
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


class InlineMesh:
    """The numbered ones."""

    def __init__(self, make: Callable[[int], InlineWorker]) -> None:
        self._make = make
        self._workers: dict[int, InlineWorker] = {}
        self._turn = 0  # whose turn it is when any will do

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[InlineWorker]:
        return iter(self._workers.values())

    def resize(self, size: int) -> Iterator[InlineWorker]:
        """Have so many, and yield each new one."""
        for number in [number for number in self._workers if number >= size]:
            self._workers.pop(number).close()
        for number in range(size):
            if number not in self._workers:
                self._workers[number] = self._make(number)
                yield self._workers[number]

    def close(self) -> None:
        """End all."""
        while self._workers:
            self._workers.popitem()[1].close()

    def next(self) -> InlineWorker | None:
        """Each in its turn."""
        if not self._workers:
            return None
        self._turn = (self._turn + 1) % len(self._workers)
        return list(self._workers.values())[self._turn]

    def get(self, number: int) -> InlineWorker | None:
        """The one of this number."""
        return self._workers.get(number)

    def why_not(self, number: int | None) -> str:
        """Why there is no such worker."""
        size = len(self._workers)
        if not size or number is None:
            return NO_MESH
        there = "worker 0" if size == 1 else f"workers 0-{size - 1}"
        return f"there is no worker {number} (the mesh has {there})"

    def infos(self) -> list[WorkerInfo]:
        """As a client sees them."""
        return [worker.info() for _, worker in sorted(self._workers.items())]


def shell() -> Any:
    """The notebook's IPython, if there is one; a plain script never imports it for this."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
