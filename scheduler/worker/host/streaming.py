"""A generator method, item by item: as many at a time as its caller has room for.

Owns the items between the generator and their sending. The first goes at once; those that follow quickly
travel together. A generator whose caller has no room rests, and other calls have their turn: a consumer
that calls the actor between two items must not wait for itself. Never sends by itself. Read next:
`calling.py`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from cellmesh.scheduler.wire.messages import Payload

from .callers import Entry

_TOGETHER = 0.001  # seconds
_MOST = 1000  # items in one message


class Stream:
    """Of one call. The caller's words come in another thread than the items.

    They gather only where somebody sends what has (`gathers`), should the generator take its time.
    """

    def __init__(self, entry: Entry, items: Any, dump: Callable[[Any], Payload], *, gathers: bool) -> None:
        self.items = items  # the iterator
        self._entry = entry
        self._dump = dump
        self._together = _TOGETHER if gathers else 0.0
        self._given = entry.call.room
        self._made = 0
        self._gathered: deque[Any] = deque()
        self._sent = 0.0
        self._parked = False
        self._lock = threading.Lock()
        self.wake: Callable[[], None] | None = None  # of one that rests in the loop

    def add_room(self, items: int) -> bool:
        """The caller has room for more (none: it is to be closed); whether the stream was resting for it."""
        with self._lock:
            self._given += items
            rested, self._parked = self._parked, False
            return rested

    def rest(self) -> bool:
        """Whether there is no room, so that it rests from now on until there is."""
        if self._made < self._given:
            return False
        self.send()
        with self._lock:
            self._parked = self._made >= self._given
            return self._parked

    @property
    def resting(self) -> bool:
        """Whether its code stands still until the caller has room; not of one in the loop."""
        return self._parked and self.wake is None

    def add(self, item: Any) -> bool:
        """The next item; whether it was handed over (with those before it)."""
        self._made += 1
        self._gathered.append(item)
        now = time.perf_counter()
        if now - self._sent < self._together and len(self._gathered) < _MOST:
            return False
        self._sent = now
        self.send()
        return True

    def send(self) -> None:
        """Hand over what has gathered. Any thread; raises if it cannot be pickled."""
        with self._lock:
            items = [self._gathered.popleft() for _ in range(len(self._gathered))]
            if not items:
                return
            try:
                payload = self._dump(items)
            except BaseException:
                self._gathered.extendleft(reversed(items))
                raise
            entry = self._entry
            entry.caller.yielded(entry.call.number, payload, len(items))

    @property
    def waits(self) -> int:
        """How many items have gathered."""
        return len(self._gathered)

    async def has_room(self, soon: Callable[[Callable[[], None]], None]) -> None:
        """Of one in the loop: come back once there is room."""
        if self._made < self._given:
            return
        event = asyncio.Event()
        self.wake = lambda: soon(event.set)  # before it rests, lest a word of room find nobody
        while self.rest():
            await event.wait()
            event.clear()


def drive(stream: Stream, check: Callable[[], None], flush: Callable[[], None]) -> bool:
    """Take items until there are no more (True) or no room for more (False); raises what they do."""
    items = stream.items
    while not stream.rest():
        check()
        try:
            item = next(items)
        except StopIteration:
            stream.send()
            return True
        except BaseException:
            stream.send()  # what it has made is the caller's
            raise
        if stream.add(item):
            flush()
    return False
