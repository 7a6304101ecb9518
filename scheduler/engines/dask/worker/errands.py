"""A task of ours as the hub beside the Dask worker has it, and what that tells of it.

Owns the translation there (only items that are still to be done; objects of Dask's memory go along) and back.
Never talks to the hub. Read next: `apart.py`, `attempts.py`.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from cellmesh.scheduler.engines.dask.between.orders import REFS, Order
from cellmesh.scheduler.objects import codec, segments
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import (
    Item,
    JobInfo,
    Output,
    Payload,
    Progress,
    Ref,
    Report,
    TaskWire,
    WorkerInfo,
)

from .attempts import Attempt
from .hands import held, holding

_WORST = ("lost", "timed out", "cancelled", "failed")
"""How the parts of a task end, from what says most of the whole."""


class Errand:
    """Of one attempt. `blobs` are what it refers to by digest, `objects` what it refers to by name."""

    def __init__(
        self, order: Order, attempt: Attempt, blobs: dict[str, Payload], objects: dict[str, Any]
    ) -> None:
        self.attempt = attempt
        self._task = order.run.task
        self._job = order.run.job
        self._blobs = blobs
        self._objects = objects
        self._parts = _left(self._task.size, order.run.skip)
        self._ends: dict[int, tuple[str, str, float]] = {}  # by part
        self._news = threading.Condition()
        self._unwanted = False

    def packed(self, mark: str, prefix: str) -> tuple[list[TaskWire], dict[str, Payload]]:
        """Tasks for the items that are left, and what they refer to by digest."""
        named: dict[str, str] = {}
        blobs: dict[str, Payload] = {}
        for digest in dict.fromkeys([*self._task.blobs, *filter(None, [self._task.retry_on])]):
            data = self._blobs[digest]
            if isinstance(data, Ref) or self._objects:
                named[digest] = f"{digest}-{mark}"
                data = codec.dumps(Packed(data, self._objects), prefix)
            blobs[named.get(digest, digest)] = data
        task = replace(
            self._task,
            blobs=[named.get(digest, digest) for digest in self._task.blobs],
            retry_on=named.get(self._task.retry_on, self._task.retry_on),
        )
        tasks = []
        for index, part in enumerate(self._parts):
            whole = len(part) == task.size
            payload = task.payload
            if isinstance(payload, Ref) or self._objects or not whole:
                payload = codec.dumps(Packed(payload, self._objects, None if whole else part), prefix)
            seeds = None if task.seeds is None else task.seeds[part.start : part.stop]
            tasks.append(replace(task, index=index, payload=payload, size=len(part), seeds=seeds))
        return tasks, blobs

    def interrupt(self) -> None:
        """It is not wanted any more. Any thread."""
        with self._news:
            self._unwanted = True
            self._news.notify_all()

    def wait(self, cancel: Callable[[], object]) -> None:
        """Until it is over; `cancel` is called if it is not wanted."""
        if not self._parts:
            self._end()
        with self._news:
            self._news.wait_for(lambda: self._unwanted or self._is_over())
            if self._is_over():
                return
        cancel()
        with self._news:
            self._news.wait_for(self._is_over)

    def _is_over(self) -> bool:
        return len(self._ends) == len(self._parts)

    # --- what is told: in the thread of the hub's client ----------------------------------------------

    def items(self, part: int, items: Sequence[Item]) -> None:
        """These are done."""
        first = self._parts[part].start
        ours = [replace(item, index=first + item.index, payload=self._here(item.payload)) for item in items]
        self.attempt.report(Report(self._job, self._task.index, self.attempt.number, ours, None))

    def output(self, output: Output) -> None:
        """It printed or displayed something."""
        data = output.data if isinstance(output.data, bytes) else bytes(segments.view(output.data))
        self.attempt.emit(replace(output, job=self._job, task=self._task.index, worker=None, data=data))

    def progress(self, progress: Progress) -> None:
        """How far an item is."""
        item = self._parts[progress.task].start + progress.item
        self.attempt.emit(replace(progress, job=self._job, task=self._task.index, item=item))

    def settled(self, part: int, state: str, why: str, seconds: float) -> None:
        """A part is over."""
        with self._news:
            self._ends.setdefault(part, (state, why, seconds))
            over = self._is_over()
        if over:
            self._end()
        with self._news:
            self._news.notify_all()

    def lose(self, why: str) -> None:
        """What is not over will not be told of."""
        for part in range(len(self._parts)):
            self.settled(part, "lost", why, 0.0)

    def _end(self) -> None:
        ends = list(self._ends.values())
        state, why = next(((s, w) for worst in _WORST for s, w, _ in ends if s == worst), ("done", ""))
        if state == "timed out":
            self.attempt.late()
        elif state == "lost":
            self.attempt.lose(why)
        outcome: Any = {"done": "ok", "failed": "error"}.get(state, "interrupted")
        seconds = sum(seconds for _, _, seconds in ends)
        report = Report(self._job, self._task.index, self.attempt.number, [], outcome, seconds=seconds)
        self.attempt.report(report)

    def _here(self, payload: Payload) -> Payload:
        """What lies in the hub's memory goes to Dask's."""
        if isinstance(payload, bytes):
            return payload
        private = segments.has_mark(payload.name, segments.PRIVATE)
        return self.attempt.write([segments.view(payload)], segments.PRIVATE if private else "")


class Errands:
    """Those of a session that the hub has; is the sink of the hub's client."""

    def __init__(self) -> None:
        self.gone = ""  # why nothing more will come
        self._errands: dict[int, Errand] = {}  # by the hub's job

    def begin(self, job: int, errand: Errand) -> None:
        """It goes there as this job."""
        self._errands[job] = errand

    def end(self, job: int) -> None:
        """It is over."""
        del self._errands[job]

    def lost(self, why: str) -> None:
        """Nothing more will come. Any thread."""
        self.gone = why
        for errand in list(self._errands.values()):
            errand.lose(why)

    def items(self, job: int, task: int, worker: int | None, items: Sequence[Item]) -> None:
        if job in self._errands:
            self._errands[job].items(task, items)

    def settled(
        self, job: int, task: int, state: str, why: str, worker: int | None, seconds: float = 0.0
    ) -> None:
        if job in self._errands:
            self._errands[job].settled(task, state, why, seconds)

    def output(self, output: Output) -> None:
        if output.job in self._errands:
            self._errands[output.job].output(output)

    def progress(self, progress: Progress) -> None:
        if progress.job in self._errands:
            self._errands[progress.job].progress(progress)

    def refused(self, why: str, job: int | None) -> None:
        if job in self._errands:
            self._errands[job].lose(why)

    def workers(self, workers: Sequence[WorkerInfo]) -> None:
        """There is no mesh."""

    def actor(self, info: ActorInfo) -> None:
        """Nobody follows one."""

    def notice(self, text: str) -> None:
        """About the hub: who waits hears how the task ends."""

    def job(self, info: JobInfo, missing: bool) -> None:
        """Nobody asks."""

    def flushed(self) -> None:
        """Each word goes on at once."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What a payload stands for, with all that it refers to; of a list the items of `part` alone."""

    payload: Payload
    objects: dict[str, Any]
    part: range | None = None

    def __reduce__(self) -> Any:
        buffers = {name: _buffered(value) for name, value in self.objects.items()}
        part = None if self.part is None else (self.part.start, self.part.stop)
        payload = self.payload if isinstance(self.payload, bytes) else (self.payload.name, self.payload.size)
        return unpacked, (payload, buffers, part)


def _buffered(value: Any) -> Any:
    return pickle.PickleBuffer(value) if isinstance(value, bytes | bytearray | memoryview) else value


def unpacked(payload: bytes | tuple[str, int], objects: dict[str, Any], part: tuple[int, int] | None) -> Any:
    """In the process that runs it."""
    segments.elsewhere(REFS, held)
    with holding(objects):
        found = codec.loads(payload)
    return found if part is None else found[part[0] : part[1]]


def _left(size: int, done: Sequence[int]) -> list[range]:
    """The stretches of items that are still to be done."""
    found: list[range] = []
    for index in sorted(set(range(size)).difference(done)):
        if found and found[-1].stop == index:
            found[-1] = range(found[-1].start, index + 1)
        else:
            found.append(range(index, index + 1))
    return found
