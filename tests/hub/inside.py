"""What tests run inside workers: tasks that submit tasks, wait for word, and start processes.

Owns one desk a worker process, as the kernel package keeps one session. Imported in the workers.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.recording import Desk

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.wire.messages import TaskWire
from cellmesh.scheduler.worker import lending

_desks: list[Desk] = []


def desk() -> Desk:
    """This worker's own."""
    place = lending.place()
    assert place is not None
    if not _desks:
        _desks.append(Desk(EmbeddedEngine(place.folder, worker=place.worker)))
    return _desks[0]


def submit(function: Callable[..., Any], *args: Any) -> int:
    """A child of the task that runs here; its job."""
    task = TaskWire(0, "call", codec.dumps((args, {})), [desk().blob(function)])
    return desk().launch("submit", [task], parent=lending.parent())


def result(job: int) -> Any:
    """Wait for a child as `Future.result` does, and take its result."""
    with lending.lent():
        desk().told.wait(lambda: desk().told.states(job) or _refusals(job), "end of a child")
    if _refusals(job):
        raise RuntimeError(_refusals(job)[0])
    state = desk().told.states(job)[0]
    value = desk().value(job) if state in ("done", "failed") else desk().told.whys(job)[0]
    desk().engine.claim(job)
    if state != "done":
        raise RuntimeError(value.message if isinstance(value, Failure) else value)
    return value


def _refusals(job: int) -> list[str]:
    return [call[1] for call in desk().told.calls if call[0] == "refused" and call[2] == job]


def fibonacci(n: int) -> int:
    """By a tree of tasks."""
    if n < 2:
        return n
    left, right = submit(fibonacci, n - 1), submit(fibonacci, n - 2)
    return int(result(left) + result(right))


def descend(levels: int) -> int:
    """By a chain of tasks, each of which waits for the next."""
    return 0 if levels == 0 else 1 + int(result(submit(descend, levels - 1)))


def talk(levels: int) -> None:
    """Print on each level."""
    print("level", levels, flush=True)
    if levels:
        result(submit(talk, levels - 1))


def sleep_inside(folder: str, levels: int) -> None:
    """Leave word of the process on each level, then sleep in the innermost task."""
    Path(folder, str(levels)).write_text(str(os.getpid()))
    if levels:
        result(submit(sleep_inside, folder, levels - 1))
    else:
        time.sleep(600)


def leave_behind(folder: str) -> None:
    """Submit what sleeps, and end without waiting for it."""
    submit(sleep_inside, folder, 0)


def meet(where: tuple[str, str]) -> None:
    """Leave a mark, numbered by how many were there before, and wait for a file."""
    folder, word = Path(where[0]), where[1]
    (folder / f"met-{1 + len(list(folder.glob('met-*')))}").touch()
    while not (folder / word).exists():
        time.sleep(0.01)


def compute(folder: str) -> int:
    """Keep the main thread in C for a while, with the interpreter's lock held."""
    Path(folder, "computing").touch()
    return int((7**1_500_000).bit_length())


def end_a_child(_: int) -> int | None:
    """The exit code of a forked process that was told to end."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    child.terminate()
    child.join()
    return child.exitcode


def wait_for_the_others(item: tuple[str, int, int]) -> int:
    """The process of this item; the first one waits for all others."""
    folder, number, count = Path(item[0]), item[1], item[2]
    (folder / f"{number}.new").write_text(str(os.getpid()))
    (folder / f"{number}.new").rename(folder / str(number))
    while number == 0 and sum(mark.name.isdigit() for mark in folder.iterdir()) < count:
        time.sleep(0.01)
    return os.getpid()
