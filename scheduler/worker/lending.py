"""What code inside a worker may know of its place, and how it lends its slot while it waits.

Owns the one record of what this process, or this thread of another's worker, runs now. The kernel package
asks it, so that tasks can submit tasks; everywhere else (a notebook, a script, the inline engine) the answers
are None and `lent` does nothing. Never talks to the hub itself: it is given a callable. Read next: `main.py`,
`../core/lending.py`, `../engines/dask/worker/nests.py` (threads).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from cellmesh.scheduler.wire.messages import Run, Waiting


@dataclass(frozen=True, slots=True)
class Place:
    """The worker that this process is: what `EmbeddedEngine(place.folder, worker=place.worker)` needs."""

    folder: Path  # of the hub
    worker: int


@dataclass(frozen=True, slots=True)
class Opened:
    """What the kernel package has made for the tasks of a process that is no worker of ours."""

    session: Any
    task_ends: Callable[[], None]
    close: Callable[[], None]


class Inside(Protocol):
    """A task that runs in a thread of such a process."""

    @property
    def parent(self) -> tuple[int, int]:
        """Its (job, task)."""

    @property
    def session(self) -> Any:
        """What it works with, if it has asked for that."""

    def attached(self, open: Callable[[Any, str], Opened]) -> Any:
        """The same; `open` makes it of an engine and a session's key."""


class _Thread(threading.local):
    inside: Inside | None = None


_thread = _Thread()


@contextmanager
def inside_of(task: Inside) -> Iterator[None]:
    """What this thread runs meanwhile is this task."""
    before, _thread.inside = _thread.inside, task
    try:
        yield
    finally:
        _thread.inside = before


def inside() -> Inside | None:
    """The task that this thread runs, in a process that is no worker of ours."""
    return _thread.inside


def serve(by: int) -> None:
    """So many more workers of others in this process run our tasks in their threads."""
    _now.served += by


def serves() -> bool:
    """Whether there is one: what runs here need not be a task of ours."""
    return _now.served > 0


def in_task() -> bool:
    """Whether this is a worker of ours, or a task in another's."""
    return _now.place is not None or _thread.inside is not None


@dataclass(slots=True)
class _Now:
    place: Place | None = None
    post: Callable[[Waiting], None] | None = None
    run: Run | None = None
    waits: int = 0  # blocking waits that the main thread is in, one inside another
    at_end: list[Callable[[], None]] = field(default_factory=list)
    served: int = 0  # workers of others that run our tasks here


_now = _Now()


def place() -> Place | None:
    """The worker that this process is; None outside workers.

    Any thread may ask, also between tasks (a thread that a task left behind has a place, but no parent).
    """
    return _now.place


def parent() -> tuple[int, int] | None:
    """The (job, task) that runs here now, for `JobSpec.parent`; None between tasks and outside workers."""
    if _thread.inside is not None:
        return _thread.inside.parent
    run = _now.run
    return None if run is None else (run.job, run.task.index)


class lent:  # noqa: N801 - reads as what it does: `with lent(): wait()`
    """While this block waits for tasks of its own, others may use the slot.

        with lent():
            future_of_a_child.result()

    Only the main thread lends, for it alone runs the task; in other threads, outside workers and inside
    another `lent` nothing happens. Put it around a wait that really blocks: each one is two messages.
    """

    # A class and no generator: an interrupt never lands in this package's frames, so none can come between
    # the two messages and their counting.

    def __enter__(self) -> None:
        self._run = _now.run if threading.current_thread() is threading.main_thread() else None
        if self._run is not None:
            _now.waits += 1
            if _now.waits == 1 and _now.post is not None:
                _now.post(Waiting(self._run.attempt, True))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A task that left its block open (in a generator that is collected later) says nothing any more.
        if self._run is not None and self._run is _now.run:
            _now.waits -= 1
            if _now.waits == 0 and _now.post is not None:
                _now.post(Waiting(self._run.attempt, False))


def at_end(then: Callable[[], None]) -> None:
    """Have this called in the main thread whenever a task of this worker has ended."""
    _now.at_end.append(then)


def settle_in(where: Place, post: Callable[[Waiting], None]) -> None:
    """This process is a worker from now on."""
    _now.place = where
    _now.post = post


def begin(run: Run) -> None:
    """In the main thread: this runs now."""
    _now.waits = 0
    _now.run = run


def end() -> None:
    """Nothing runs here now."""
    _now.run = None
    for then in _now.at_end:
        then()
