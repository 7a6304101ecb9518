"""A runner in a Dask worker, and the attempt that it is at; what that may load is given to its thread.

Owns the runner between attempts, so that functions are loaded once. Never decides what runs. Read next:
`attempts.py`, `threads.py`, `../../../worker/runner.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import count
from typing import Any

from cellmesh.scheduler.engines.dask.between.orders import REFS, Order, Outcome, read_told
from cellmesh.scheduler.objects import codec, makers
from cellmesh.scheduler.objects.failures import Failure, Rebuilt
from cellmesh.scheduler.wire.messages import Output, Payload, Progress, Ref, Report
from cellmesh.scheduler.worker.modules import LocalModules
from cellmesh.scheduler.worker.output import TaskOutput
from cellmesh.scheduler.worker.runner import Runner

from . import threads
from .attempts import Attempt
from .interrupting import ThreadInterrupts

FUNCTIONS = 200
"""So many functions are kept by each runner between tasks."""

_serials = count(1)


class Hand:
    """A runner, and what it is at."""

    def __init__(self, label: str, modules: LocalModules) -> None:
        self.attempt: Attempt
        self._prefix = f"{REFS}hand-{next(_serials):x}-"
        makers.keep_elsewhere(self._prefix, self)
        interrupts = ThreadInterrupts()
        self.runner = Runner(
            number=None,
            label=label,
            prefix=self._prefix,
            emit=self._emit,
            report=self._report,
            output=TaskOutput(number=None, prefix="", emit=self._emit, logs=None, interrupts=interrupts),
            interrupts=interrupts,
            modules=modules,
        )
        self._functions: dict[str, None] = {}

    def expect(self, attempt: Attempt) -> None:
        """It is the next."""
        self.attempt = attempt
        self.runner.interrupts.expect(attempt.number)

    def interrupt(self) -> None:
        """It is not wanted any more. Any thread."""
        self.runner.interrupts.request(self.attempt.number)

    def run(self, order: Order, blobs: dict[str, Payload]) -> None:
        digests = [*order.run.task.blobs, *filter(None, [order.run.task.retry_on])]
        for digest in digests:
            self._functions.pop(digest, None)  # and at the end again: it was used last
            self._functions[digest] = None
        with threads.printing(self.runner.streams):
            self.runner.run(order.run, blobs)
        old = list(self._functions)[:-FUNCTIONS]
        self.runner.forget(old)
        for digest in old:
            del self._functions[digest]

    def close(self) -> None:
        makers.close_maker(self._prefix)
        self.runner.close()

    def write(self, parts: Sequence[bytes | memoryview], marks: str = "") -> Ref:
        return self.attempt.write(parts, marks)

    def freed(self, name: str) -> None:
        """It goes with the attempt."""

    def let_go(self) -> None:
        """Nothing is kept here."""

    def _emit(self, what: Output | Progress) -> None:
        self.attempt.emit(what)

    def _report(self, report: Report) -> None:
        self.attempt.report(report)


class SharedModules(LocalModules):
    """The local modules of a process in which several runners work."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.RLock()

    def look(self) -> None:
        with self._turn:
            super().look()

    def refresh(self) -> list[str]:
        with self._turn:
            return super().refresh()


class _Here(threading.local):
    objects: dict[str, Any] | None = None


_here = _Here()


@contextmanager
def holding(objects: dict[str, Any]) -> Iterator[None]:
    """These objects can be loaded in this thread meanwhile, by their names."""
    before, _here.objects = _here.objects, objects
    try:
        yield
    finally:
        _here.objects = before


def value(name: str) -> Any:
    """What a future of Dask's stands for in a pickle: its value, which is a dependency of the task."""
    objects = _here.objects or {}
    if name not in objects:
        raise LookupError(
            "A future or collection of Dask's is its value only inside what cm.submit or cm.map runs. "
            "Elsewhere, take its .result() or .compute() first."
        )
    return objects[name]


def whole(content: Any) -> Any:
    """An object out of what a notebook has brought to Dask's memory."""
    return codec.loads_whole(memoryview(content))


def result_of(outcome: Outcome, which: int | str) -> Any:
    """The value of an item, or of the large result of this name, or what the item raised."""
    if isinstance(which, str):
        return whole(outcome.content(which))
    report = read_told(outcome.told).report
    for item in report.items:
        if item.index <= which < item.index + item.count:
            data = item.payload
            loaded = whole(outcome.content(data.name)) if isinstance(data, Ref) else codec.loads(data)
            if not item.ok:
                raise _raised(loaded)
            return loaded[which - item.index] if item.count > 1 else loaded
    raise CancelledError(f"The task of this result was {report.outcome}.")


def _raised(failure: Failure) -> BaseException:
    if failure.exception is None:
        return RuntimeError(failure.text)
    error = codec.loads(failure.exception)
    return error.make() if isinstance(error, Rebuilt) else error


def held(ref: Ref) -> Any:
    """The content of such an object; None if this thread has it not."""
    return (_here.objects or {}).get(ref.name)
