"""A sink that remembers everything and lets a test wait for it, and what tests build tasks with.

Owns no engine. Waits on a condition with a deadline, never by sleeping.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from cellmesh.scheduler.engines.contract import Engine, JobSpec, SessionSpec
from cellmesh.scheduler.objects import codec, namespaces
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import (
    ActorInfo,
    Interpreter,
    Item,
    JobInfo,
    Output,
    Progress,
    TaskWire,
    WorkerInfo,
)

DEADLINE = 30.0


class Recorder:
    """Everything that an engine told, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._changed = threading.Condition()

    def _note(self, *call: Any) -> None:
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    def items(self, job: int, task: int, worker: int | None, items: Sequence[Item]) -> None:
        self._note("items", job, task, worker, list(items))

    def settled(
        self, job: int, task: int, state: str, why: str, worker: int | None, seconds: float = 0.0
    ) -> None:
        self._note("settled", job, task, state, why, worker)

    def output(self, output: Output) -> None:
        self._note("output", output)

    def progress(self, progress: Progress) -> None:
        self._note("progress", progress)

    def workers(self, workers: Sequence[WorkerInfo]) -> None:
        self._note("workers", list(workers))

    def actor(self, info: ActorInfo) -> None:
        self._note("actor", info)

    def notice(self, text: str) -> None:
        self._note("notice", text)

    def refused(self, why: str, job: int | None) -> None:
        self._note("refused", why, job)

    def lost(self, why: str) -> None:
        self._note("lost", why)

    def job(self, info: JobInfo, missing: bool) -> None:
        self._note("job", info, missing)

    def flushed(self) -> None:
        """Nothing to remember."""

    def wait(self, ready: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
        """Wait until `ready` answers something true."""
        with self._changed:
            if not self._changed.wait_for(ready, seconds):
                raise AssertionError(f"no {what} within {seconds:g} s; told so far: {self.calls[-20:]}")
            return ready()

    def wait_settled(self, job: int, tasks: int | Sequence[int], seconds: float = DEADLINE) -> dict[int, str]:
        """Wait until these tasks (or so many) are over; their states."""
        wanted = set(range(tasks)) if isinstance(tasks, int) else set(tasks)
        self.wait(lambda: self.states(job).keys() >= wanted, f"end of tasks {wanted} of job {job}", seconds)
        return self.states(job)

    def states(self, job: int) -> dict[int, str]:
        """How its tasks ended."""
        return {c[2]: c[3] for c in list(self.calls) if c[0] == "settled" and c[1] == job}

    def whys(self, job: int) -> dict[int, str]:
        """Why its tasks ended so."""
        return {c[2]: c[4] for c in list(self.calls) if c[0] == "settled" and c[1] == job}

    def raw(self, job: int) -> dict[tuple[int, int], Item]:
        """Its items by (task, index); each came once."""
        found: dict[tuple[int, int], Item] = {}
        for call in list(self.calls):
            if call[0] == "items" and call[1] == job:
                for item in (single for run in call[4] for single in singles(run)):
                    assert (call[2], item.index) not in found, "each item comes once"
                    found[call[2], item.index] = item
        return found

    def values(self, job: int) -> dict[tuple[int, int], Any]:
        """The same, loaded."""
        return {key: codec.loads(item.payload) for key, item in self.raw(job).items()}

    def text(self, job: int, kind: str = "stdout") -> str:
        """What the job printed."""
        return "".join(o.text for o in self.outputs(job) if o.kind == kind)

    def outputs(self, job: int) -> list[Output]:
        """What the job printed and displayed."""
        return [c[1] for c in list(self.calls) if c[0] == "output" and c[1].job == job]

    def actors(self, actor: int) -> list[ActorInfo]:
        """What was told of an actor."""
        return [c[1] for c in list(self.calls) if c[0] == "actor" and c[1].id == actor]

    def mesh(self) -> list[WorkerInfo]:
        """The latest word on the mesh."""
        return next((c[1] for c in reversed(list(self.calls)) if c[0] == "workers"), [])


def singles(item: Item) -> list[Item]:
    """The items of a run, each by itself."""
    if item.count == 1:
        return [item]
    values = codec.loads(item.payload)
    assert len(values) == item.count
    return [Item(item.index + k, True, codec.dumps(value)) for k, value in enumerate(values)]


def interpreter(**changes: Any) -> Interpreter:
    """This process as a kernel describes itself."""
    fields: dict[str, Any] = {
        "executable": sys.executable,
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "path": list(sys.path),
    }
    return Interpreter(**{**fields, **changes})


class Desk:
    """An open engine, its recorder, and short ways to launch work."""

    def __init__(self, engine: Engine, name: str = "a test", grace: float = 0.0) -> None:
        self.engine = engine
        self.told = Recorder()
        self.survivors = engine.open(
            SessionSpec(f"conformance {name}", name, grace, interpreter()), self.told
        )

    def mesh(self, size: int) -> list[WorkerInfo]:
        """Start mesh workers and wait for them."""
        self.engine.set_mesh(size)
        self.told.wait(
            lambda: (
                len(self.told.mesh()) == size and all(w.state in ("idle", "busy") for w in self.told.mesh())
            ),
            f"mesh of {size}",
        )
        return self.told.mesh()

    def blob(self, value: Any) -> str:
        """Make a value available; its digest."""
        payload = codec.dumps(value)
        name = codec.digest(payload)
        self.engine.put_blob(payload, name)
        return name

    def captured(self, namespace: dict[str, Any], *names: str) -> tuple[tuple[str, str], ...]:
        """Make names of a notebook's namespace available, as the kernel does."""
        found = []
        for name in names:
            payload = namespaces.dumps(namespace[name], namespace, self.engine.cell_prefix())
            digest = codec.digest(payload)
            self.engine.put_blob(payload, digest)
            found.append((name, digest))
        return tuple(found)

    def launch(self, kind: str, tasks: list[TaskWire], **options: Any) -> int:
        """Open a job and submit all of its tasks."""
        job = self.engine.new_job_id()
        self.engine.open_job(JobSpec(job, kind, "a job", **options))  # type: ignore[arg-type]
        self.engine.submit(job, tasks, last=True)
        return job

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> int:
        """One call; waits for its end."""
        task = TaskWire(0, "call", codec.dumps((args, {})), [self.blob(function)], **options)
        job = self.launch("submit", [task])
        self.told.wait_settled(job, 1)
        return job

    def map_tasks(
        self, function: Callable[..., Any], values: Sequence[Any], chunk: int, **options: Any
    ) -> list[TaskWire]:
        """The tasks of a map in chunks."""
        blob = self.blob(function)
        chunks = [values[i : i + chunk] for i in range(0, len(values), chunk)]
        return [
            TaskWire(n, "map", codec.dumps([(v,) for v in part]), [blob], len(part), **options)
            for n, part in enumerate(chunks)
        ]

    def cell(
        self,
        source: str,
        worker: int = 0,
        names: tuple[tuple[str, str], ...] = (),
        filename: str = "<cell>",
        **options: Any,
    ) -> int:
        """One cell on one worker; waits for its end."""
        job = self.launch("cell", [self.cell_task(source, worker, names, filename)], **options)
        self.told.wait_settled(job, 1)
        return job

    def cell_task(
        self,
        source: str,
        worker: int = 0,
        names: tuple[tuple[str, str], ...] = (),
        filename: str = "<cell>",
    ) -> TaskWire:
        """The task of one cell on one worker."""
        code = CellCode(source, filename, 1, names)
        return TaskWire(
            0, "cell", codec.dumps(code), [digest for _, digest in names], pool="mesh", worker=worker
        )

    def value(self, job: int) -> Any:
        """The first task's first item, loaded."""
        return self.told.values(job)[0, 0]
