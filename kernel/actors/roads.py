"""The thread that listens to actors while nobody else does.

Owns what it polls. It sends what nobody else has sent, and takes back the roads that the main thread kept.
Whatever goes wrong with one road ends that one alone. Never interprets messages. Read next: `road.py`.
"""

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cellmesh.scheduler.wire.waker import Waker

from .road import HAS_EPOLL, Road

LOOK_SECONDS = 0.005
"""The main thread keeps a road that it reads until it has not done so for this long."""


class Roads:
    """All roads of this process. `on_error` is told of what ought not to happen."""

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._waker = Waker()
        self._poller: Any = select.epoll() if HAS_EPOLL else select.poll()
        self._roads: dict[int, Road] = {}
        self._looked_at: deque[Road] = deque()
        self._kept: dict[Road, int] = {}  # by the main thread, and how many waits it had had at the last look
        self._next_look = 0.0
        self._closed = False
        self._poller.register(self._waker.fd, select.POLLIN)
        threading.Thread(target=self._run, name="cellmesh-actors", daemon=True).start()

    def add(self, road: Road) -> None:
        """Listen to it from now on."""
        self._roads[road.descriptor] = road
        self._poller.register(road.descriptor, select.POLLIN)
        if not HAS_EPOLL:
            self._waker.wake()

    def remove(self, road: Road) -> bool:
        """Its descriptor is about to be closed. False if it has been removed, or is being so, by another."""
        self._kept.pop(road, None)
        if self._roads.pop(road.descriptor, None) is not road:
            return False
        self._poller.unregister(road.descriptor)
        return True

    def leave(self, road: Road) -> None:
        """The main thread reads it, and keeps it; this thread looks now and then whether it still does."""
        self._modify(road, 0)
        self._kept[road] = 0
        if len(self._kept) == 1:
            self._waker.wake()

    def keeps(self, road: Road) -> bool:
        """Whether the main thread still does, as far as this one knows."""
        return road in self._kept

    def listen(self, road: Road) -> None:
        """The main thread keeps it no more."""
        self._kept.pop(road, None)
        self._modify(road, select.POLLIN)

    def _modify(self, road: Road, events: int) -> None:
        with suppress(FileNotFoundError):  # closed by another thread just now
            if not road.closed:
                self._poller.modify(road.descriptor, events)

    def look_at(self, road: Road) -> None:
        """Something waits there to be sent: as soon as this thread can, if nobody sends it before."""
        if not road.looked_at:
            road.looked_at = True
            self._looked_at.append(road)
            self._waker.wake()

    def close(self) -> None:
        """Hang up everywhere."""
        self._closed = True
        for road in list(self._roads.values()):
            road.close()
        self._waker.wake()

    def _run(self) -> None:
        while not self._closed:
            full = [road for road in list(self._roads.values()) if road.full]
            try:
                if full:
                    self._wait_for_room(full)
                for descriptor, _ in self._poller.poll(0 if full else LOOK_SECONDS if self._kept else None):
                    if descriptor == self._waker.fd:
                        self._waker.clear()
                        self._send()
                    elif (found := self._roads.get(descriptor)) is not None:
                        found.read()
                if self._kept:
                    self._look()
            except Exception as error:  # noqa: BLE001 - all other actors are heard by this thread
                self._on_error(error)
        self._waker.close()
        if HAS_EPOLL:
            self._poller.close()

    def _send(self) -> None:
        for _ in range(len(self._looked_at)):
            road = self._looked_at.popleft()
            road.looked_at = False  # first: what comes from now on may miss this flush
            road.flush()

    def _look(self) -> None:
        """Take back what the main thread has not used since the last look. What it reads it gives back."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        for road, seen in list(self._kept.items()):
            if road.waits != seen:
                self._kept[road] = road.waits
            else:
                self._kept.pop(road, None)
                road.listen()

    def _wait_for_room(self, full: list[Road]) -> None:
        """Until one of these takes more, or anything else happens."""
        room = select.poll()
        for road in full:
            room.register(road.descriptor, select.POLLOUT)
        room.register(self._poller.fileno() if HAS_EPOLL else self._waker.fd, select.POLLIN)
        for descriptor, _ in room.poll():
            if (road_ := self._roads.get(descriptor)) is not None:
                road_.flush()
