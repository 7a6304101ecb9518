"""Feeding a map whose items come from an iterable without a length, maybe without an end.

Owns how far ahead it works: a bounded number of chunks at work, and of chunks whose results nobody has taken.
What is here is sent at once while a worker is free, and gathered into chunks while all are busy. Nobody holds
the results any more: it ends. Read next: `sources.py`, `feeding.py`.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Item

from .feeding import BYTES_AHEAD, Feeder, Template
from .jobs import Job, Record
from .sources import LEAST, PulledSource, Source

UNREAD = 32
"""Chunks per slot whose results may wait to be taken."""

UNREAD_BYTES = 256 * 1024 * 1024


class Wake:
    """An event that may be set from anywhere, also from a `__del__`."""

    def __init__(self) -> None:
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._rung = False

    def set(self) -> None:
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def wait(self) -> None:
        """Until it is set; it is not set any more then."""
        with suppress(queue.Empty):
            self._bell.get()
        self._rung = False


class LazyFeeder(Feeder):
    """Feeds one job from a `Source`."""

    def __init__(self, job: Job, source: Source, template: Template, slots: int) -> None:
        super().__init__(job, (), None, template, slots)
        self.source = source
        self._slots = slots
        self._wake: Any = Wake()
        self._wanted: float = 0  # so many items are waited for, whoever takes them
        self._unread: dict[int, int] = {}  # task -> bytes of results that nobody has taken
        self._unread_bytes = 0
        self.dropped = False  # nobody holds the results any more
        self._halted = False  # the engine takes no more: an item failed, and that was to be the end
        job.on_cancel.append(self._over if self._inline else self._wake.set)

    def start(self) -> None:
        self.source.start(self._ahead if self.source.looped and self._inline else self._wake.set)
        if not self._inline:
            threading.Thread(target=self._run, name="cellmesh-feeder", daemon=True).start()

    # --- what the results tell ----------------------------------------------------------------------

    def want(self, items: float) -> None:
        """Somebody waits for so many items: take them, though nobody takes results meanwhile."""
        if items > self._wanted:
            self._wanted = items
            self._wake.set()

    def taken(self, task: int) -> None:
        """The results of this task are taken, and need no room any more."""
        super().taken(task)
        with self._lock:
            self._unread_bytes -= self._unread.pop(task, 0)
        self._wake.set()
        if self._inline:
            self._ahead()

    def drop(self) -> None:
        """Nobody holds the results any more. May be called from anywhere."""
        self.dropped = True
        if self.exhausted:
            self._job.session.claims.append((self._job.id, None))
        self._wake.set()
        if self._inline:
            self._job.session.later.append(self._over)

    def pull(self, done: Callable[[], bool]) -> None:
        """Inline: run items here until `done()`."""
        while self._inline and isinstance(self.source, PulledSource) and not self.exhausted and not done():
            if self._over():
                return
            self.source.pull()
            self._ahead()

    # --- the feeder's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self.exhausted:
                if self._over():
                    return
                sizes = self._sizes()
                if sizes:
                    self._send(sizes)
                elif not self._ended():
                    self._wake.wait()
        except BaseException as error:  # noqa: BLE001 - it becomes the map's error, raised where it is iterated
            self.error = error
            self.source.close()
            self._end()

    def _over(self) -> bool:
        """Whether no more is to be sent, though there may be more."""
        job = self._job
        if self.dropped and not (job.background or job.cancelled or self.exhausted):
            job.cancel()
            if not job.attended:
                job.session.notices.say(
                    f"{job.title} ended after {self.count} item{'s' * (self.count != 1)}: nobody holds its "
                    "results. Keep them (ys = cm.map(...)), or pass background=True."
                )
        if not (job.cancelled or job.refused or job.session.closed or self._halted):
            return False
        self.source.close()
        self._end()
        return True

    def _end(self) -> None:
        super()._end()
        if self.dropped:  # only now: the engine forgets what is claimed, and would know no more of the end
            self._job.session.claims.append((self._job.id, None))

    def _ended(self) -> bool:
        """Whether the source has ended, and all that it gave is sent."""
        if not self.source.ended or len(self.source):
            return False
        self.error = self.source.error
        self._end()
        return True

    def _ahead(self) -> None:
        """Inline: send what is here, in this thread."""
        while self._sizes():
            self._send([1])
        self._ended()

    def _sizes(self) -> list[int]:
        here = len(self.source)
        with self._lock:
            unread = len(self._unread)
            full = self._bytes_ahead > BYTES_AHEAD or self._in_flight >= self._window
            if self.count >= self._wanted and not (self.dropped and self._job.background):
                full = full or unread >= UNREAD * self._slots or self._unread_bytes > UNREAD_BYTES
            busy = self._in_flight >= self._slots
        if full or not here:
            return []
        size = self._size(None)
        self.source.ahead = max(LEAST, 2 * size)
        return [] if busy and here < size else [min(size, here)]

    def _take(self, index: int, size: int) -> Sequence[Any]:
        chunk = self.source.take(size)
        if chunk:
            with self._lock:
                self._unread[index] = 0
        return chunk

    def _hear(self, record: Record, items: Sequence[Item] | None) -> None:
        if items is not None:
            with self._lock:
                if record.index in self._unread:
                    size = sum(codec.size_of(item.payload) for item in items)
                    self._unread[record.index] += size
                    self._unread_bytes += size
        elif record.state == "cancelled":
            self._halted = True
        super()._hear(record, items)
