"""Handing a map's items to the engine, chunk by chunk.

Owns the feeder. A sequence is handed over whole within a fraction of a second, so that the job survives this
kernel. The caller's thread sends what every map begins with; a thread of the feeder's own does the rest.
Read next: `lazy.py` (iterables without a length), `chunking.py`, `mapping.py`.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Literal

import msgspec

from cellmesh.scheduler.objects.describing import describe
from cellmesh.scheduler.wire.messages import Item, TaskWire

from . import packing
from .chunking import Planner, parts_of, seed_of
from .jobs import Job, Record
from .sources import can_be_cut

AHEAD = 4
"""Chunks per slot that may be in flight while nothing is known, and for lazy iterables always."""

MOURNED = 100
"""So many lost items of one chunk are named."""

BYTES_AHEAD = 256 * 1024 * 1024
"""Arguments in flight beyond this wait: shared memory is no place for a whole data set."""


@dataclass(frozen=True, slots=True)
class Template:
    """What all tasks of one map have in common."""

    verb: Literal["map", "each", "over"]
    blobs: tuple[str, ...]
    pool: Literal["mesh", "task"] = "task"
    workers: tuple[int, ...] = ()  # mesh workers to use, in turn; empty: whichever is free
    options: Mapping[str, Any] = field(default_factory=dict)  # more fields of a `TaskWire`
    seed: int | None = None
    held: object = None  # lives as long as there may be more tasks


class Feeder:
    """Feeds one job. `starts` tells at which item each task begins."""

    def __init__(
        self, job: Job, items: Iterable[Any], total: int | None, template: Template, slots: int
    ) -> None:
        self._job = job
        self._whole: Any = items if can_be_cut(items) else None
        self._items = iter(items)
        self.total = total
        self._template = template
        self._planner = Planner(slots, most=job.session.engine.most_tasks)
        self._patience = job.session.engine.patience  # then the rest is handed over, however much is known
        self._window = AHEAD * slots
        self._single = bool(template.options.get("timeout"))  # one call a task: that is what is limited
        self.starts: dict[int, int] = {}  # by task
        self._indices = count()  # of tasks; two threads may send
        self.count = 0  # items taken so far
        self.exhausted = False
        self.error: BaseException | None = None  # what the user's iterator raised
        self.unsendable: Callable[[int, int, BaseException], None]  # (task, items, why); `Arrivals` sets it
        self._deferred = 0  # chunks that wait for Futures in them
        self._sealed = False
        self._in_flight = 0
        self._chunks: dict[int, Sequence[Any]] = {}  # in flight: to send again, or name, what gets lost
        self.lost: dict[int, str] = {}  # an item whose worker died -> its repr
        self._bytes: dict[int, int] = {}
        self._bytes_ahead = 0
        self._begun = 0.0
        self._wake = threading.Event()
        self._lock = threading.Lock()  # the counts: feeder and engine's thread both write them
        self._inline = job.session.engine.name == "inline"
        job.add_listener(self._hear)

    def start(self) -> None:
        """Send the first chunks from here; the rest from a thread."""
        self._begun = time.monotonic()
        first = self._window if self.total is None else min(self._window, self.total)
        self._send([1] * first)
        if self._inline:
            while not self.exhausted and not self._job.cancelled:
                self._send([self._size(self._remaining())])
        if not self.exhausted:
            threading.Thread(target=self._run, name="cellmesh-feeder", daemon=True).start()

    def taken(self, task: int) -> None:
        """The results of this task were handed out, and are not kept."""
        self.starts.pop(task, None)

    # --- the feeder's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self.exhausted:
                self._wake.clear()
                if self._job.cancelled or self._job.refused or self._job.session.closed:
                    self._end()
                    return
                sizes = self._sizes()
                if sizes:
                    self._send(sizes)
                elif not self.exhausted:
                    self._wake.wait(self._until_committed())
        except BaseException as error:  # noqa: BLE001 - it becomes the map's error, raised where it is iterated
            self.error = error
            self._end()

    def _sizes(self) -> list[int]:
        """Chunks that may be sent now."""
        if self._bytes_ahead > BYTES_AHEAD:
            return []
        remaining = self._remaining()
        if remaining is not None and self._committed():
            return [1] * remaining if self._single else self._planner.all(remaining)
        room = self._window - self._in_flight
        if room <= 0 or (self._planner.per_item is None and remaining is not None):
            return []
        return [self._size(remaining) for _ in range(max(1, room // 2))]

    def _size(self, remaining: int | None) -> int:
        return 1 if self._single else self._planner.next(remaining)

    def _committed(self) -> bool:
        since = self._job.first_item_at or self._begun
        return time.monotonic() - since >= self._patience

    def _until_committed(self) -> float | None:
        if self.total is None or self._bytes_ahead > BYTES_AHEAD:
            return None
        since = self._job.first_item_at or self._begun
        return max(0.001, since + self._patience - time.monotonic())

    def _remaining(self) -> int | None:
        return None if self.total is None else self.total - self.count

    # --- sending ------------------------------------------------------------------------------------

    def _send(self, sizes: list[int]) -> None:
        tasks: list[TaskWire] = []
        holds: list[Any] = []
        for size in sizes:
            index = next(self._indices)
            chunk = self._take(index, size)
            if not len(chunk):
                break
            self.starts[index] = self.count
            seeds = self._seeds(self.count, len(chunk))
            self.count += len(chunk)
            task = self._pack(index, chunk, seeds, holds)
            if task is None:
                continue  # sent by itself once the Futures in it are done
            tasks.append(task)
            if self._bytes_ahead > BYTES_AHEAD:
                break
        self.exhausted = self.exhausted or (self.total is not None and self.count >= self.total)
        with self._lock:
            self._in_flight += len(tasks)
        self._submit(tasks, holds)

    def _take(self, index: int, size: int) -> Sequence[Any]:
        if self.exhausted:
            return []
        if self._whole is not None:
            return self._cut(size)
        try:
            chunk = list(islice(self._items, size))
        except Exception as error:  # noqa: BLE001 - the user's iterator raised; the map raises it at that index
            self.error = error
            self.exhausted = True
            return []
        if len(chunk) < size:
            self.exhausted = True
            self.total = self.count + len(chunk)
        return chunk

    def _cut(self, size: int) -> Sequence[Any]:
        """A slice is a chunk already, and one of a range or an array is hardly anything."""
        assert self.total is not None
        end = min(self.count + size, self.total)
        self.exhausted = end >= self.total
        chunk: Sequence[Any] = self._whole[self.count : end]
        return chunk

    def _pack(
        self, index: int, chunk: Sequence[Any], seeds: list[int] | None, holds: list[Any]
    ) -> TaskWire | None:
        engine = self._job.session.engine
        prefix = engine.task_prefix() if self._template.pool == "task" else engine.object_prefix()
        try:
            packed = packing.pack(chunk, prefix)
        except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
            places = range(self.starts[index], self.count)
            named = [(f"item {place}", item) for place, item in zip(places, chunk, strict=True)]
            raise packing.explained(error, named) from None
        template = self._template

        def task() -> TaskWire:
            payload = packed.finish(prefix)
            size = payload.size if not isinstance(payload, bytes) else len(payload)
            with self._lock:
                self._bytes[index] = size
                self._bytes_ahead += size
            return TaskWire(
                index=index,
                verb=template.verb,
                payload=payload,
                blobs=list(template.blobs),
                size=len(chunk),
                pool=template.pool,
                worker=template.workers[index % len(template.workers)] if template.workers else None,
                seeds=seeds,
                **template.options,
            )

        self._chunks[index] = chunk
        if not packed.waits:
            holds += packed.holds
            return task()
        with self._lock:
            self._deferred += 1

        def send() -> None:
            try:
                ready = task()
            except BaseException as error:  # noqa: BLE001 - what a Future in the items raised is these items' outcome
                self.unsendable(index, len(chunk), error)
                with self._lock:
                    self._deferred -= 1
                self._job.session.bell.ring()
                self._submit([], [])
                return
            with self._lock:
                self._deferred -= 1
                self._in_flight += 1
            self._submit([ready], packed.holds)

        packing.when_done(packed.waits, send)
        return None

    def _submit(self, tasks: Sequence[TaskWire], holds: list[Any]) -> None:
        with self._lock:
            last = self.exhausted and self._deferred == 0 and not self._sealed
            self._sealed = self._sealed or last
        if tasks or last:
            self._job.submit(tasks, last, holds=holds)
            self._job.session.bell.ring()

    def _end(self) -> None:
        """Nothing more will be sent."""
        self.exhausted = True
        self.total = self.count
        self._submit([], [])

    def _seeds(self, first: int, count: int) -> list[int] | None:
        if self._template.seed is None:
            return None
        return [seed_of(self._template.seed, first + offset) for offset in range(count)]

    def _hear(self, record: Record, items: Sequence[Item] | None) -> None:
        if items is None:
            with self._lock:
                self._in_flight -= 1
                self._bytes_ahead -= self._bytes.pop(record.index, 0)
            self._planner.measured(record.size, record.seconds)
            chunk = self._chunks.pop(record.index, ())
            if record.state in ("lost", "timed out"):
                self._mourn(record, chunk)
            self._wake.set()

    def _mourn(self, record: Record, chunk: Sequence[Any]) -> None:
        """Name the item that was lost; of several, all are sent again in parts: one is to blame, not all."""
        start, missing = self.starts[record.index], record.missing()
        once = record.state == "lost" and not self._template.options.get("retries")  # nothing may run twice
        if len(missing) == 1 or not chunk or once or self._job.cancelled or self._job.refused:
            for offset in missing[:MOURNED]:
                self.lost[start + offset] = describe(chunk[offset]) if chunk else ""
            return
        tasks: list[TaskWire] = []
        holds: list[Any] = []
        for part in parts_of(missing):
            index = next(self._indices)
            self.starts[index] = start + part[0]
            seeds = self._seeds(start + part[0], len(part))
            task = self._pack(index, chunk[part[0] : part[-1] + 1], seeds, holds)
            if task is not None:
                tasks.append(msgspec.structs.replace(task, retries=0) if len(part) > 1 else task)
        with self._lock:
            self._in_flight += len(tasks)
        self._job.forgive(record, missing)
        self._job.submit(tasks, False, holds=holds)
