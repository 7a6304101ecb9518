"""The socket that callers come to, read by whichever thread has nothing else to do.

Owns listening, the connections and their polling. The main thread reads by itself while it is idle, so that
a call costs no wake-up of another thread; while it runs a method for long, `watching.py` reads in its
place. Never looks into messages. Read next: `callers.py`, `watching.py`.
"""

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import msgspec

from cellmesh.scheduler.wire.direct import ToHost
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.waker import Waker

_SHUT = 1.0
"""Seconds after which new callers are tried again, if there were no descriptors for them."""

_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Door:
    """`hear` is told what came by which road, `lost` which road is gone; both in the reading thread.

    `hear` may raise EOFError: nothing more is heard of that road. So it is with any other exception, of which
    `trouble` is told: one caller's words must not end the actor.
    """

    def __init__(
        self,
        address: str,
        hear: Callable[[Framed, list[Any]], None],
        lost: Callable[[Framed], None],
        trouble: Callable[[str, Exception], None],
    ) -> None:
        self._hear = hear
        self._lost = lost
        self._trouble = trouble
        self._address = address
        self._waker = Waker()
        self._ending = False
        self._poll = select.poll()
        self._reading = threading.Lock()
        self._roads: dict[int, Framed] = {}
        self._also: dict[int, Callable[[], None]] = {}
        self._full: set[int] = set()
        self._shut_until = 0.0  # 0: it is open
        with suppress(FileNotFoundError):
            os.unlink(address)  # of a process of this name that was killed
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(address)
        self._listening.listen(128)
        self._listening.setblocking(False)
        self._poll.register(self._listening, select.POLLIN)
        self._poll.register(self._waker.fd, select.POLLIN)

    def wait(self, seconds: float | None, unless: Collection[Any] = ()) -> None:
        """Read what comes; wait for it so long at most (None: until something comes, or `wake`).

        It does not wait if there is something in `unless`, which another thread may have filled that read
        until now (and that has taken the wake-up for `end` with it).
        """
        if not self._reading.acquire(blocking=False):
            self._waker.wake()
            self._reading.acquire()
        try:
            if self._shut_until:
                rest = self._shut_until - time.monotonic()
                seconds = max(0.0, rest if seconds is None else min(seconds, rest))
                if rest <= 0:
                    self._open_again()
            if unless or self._ending:
                seconds = 0
            for fd, events in self._poll.poll(None if seconds is None else seconds * 1000):
                road = self._roads.get(fd)
                if road is not None:
                    self._read(road, events)
                elif fd == self._waker.fd:
                    self._waker.clear()
                elif fd == self._listening.fileno():
                    self._accept()
                elif fd in self._also:
                    self._do(self._also[fd])
        finally:
            self._reading.release()

    def end(self) -> None:
        """Nobody need wait any more. Any thread."""
        self._ending = True
        self._waker.wake()

    def wake(self) -> None:
        """Have `wait` return. Any thread."""
        self._waker.wake()

    def read_also(self, fd: int, then: Callable[[], None]) -> None:
        """Have this called whenever the descriptor can be read. In the main thread, not while it waits."""
        self._also[fd] = then
        self._poll.register(fd, select.POLLIN)

    def read_no_more(self, fd: int) -> None:
        """The end of that."""
        del self._also[fd]
        self._poll.unregister(fd)

    def flush(self) -> None:
        """Send what was posted. Any thread."""
        for road in list(self._roads.values()):
            if road.waits:
                self._send(road)

    def close(self) -> None:
        """Hang up, and take the address away."""
        self.flush()
        for road in list(self._roads.values()):
            road.close()
        self._listening.close()
        with suppress(FileNotFoundError):
            os.unlink(self._address)
        self._waker.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listening.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._shut_until = time.monotonic() + _SHUT  # it would be ready again and again
                self._poll.unregister(self._listening)
                self._trouble("new callers wait until this process has file descriptors again", error)
            return  # else it was gone before we came
        road = Framed(accepted, ToHost)
        self._roads[accepted.fileno()] = road
        self._poll.register(accepted, select.POLLIN)

    def _open_again(self) -> None:
        self._shut_until = 0.0
        self._poll.register(self._listening, select.POLLIN)

    def _read(self, road: Framed, events: int) -> None:
        if events & select.POLLOUT:
            self._send(road)
        if not events & (select.POLLIN | _GONE):
            return
        try:
            messages = road.receive()
            if messages:
                self._hear(road, messages)
        except (EOFError, msgspec.DecodeError):
            self._hang_up(road)
        except Exception as error:  # noqa: BLE001 - it is told, and whoever called comes again
            self._hang_up(road)
            self._trouble("what a caller said could not be done, and the connection to it was closed", error)

    def _send(self, road: Framed) -> None:
        fd = road.fileno()
        try:
            road.send()
        except OSError:
            return  # its end is read in a moment
        if road.full != (fd in self._full) and fd in self._roads:
            (self._full.add if road.full else self._full.discard)(fd)
            with suppress(OSError):  # the thread that reads has hung up just now
                self._poll.modify(fd, select.POLLIN | (select.POLLOUT if road.full else 0))
            if road.full:
                self._waker.wake()  # a poll that has begun does not know of it

    def _hang_up(self, road: Framed) -> None:
        fd = road.fileno()
        self._poll.unregister(fd)
        del self._roads[fd]
        self._full.discard(fd)
        self._do(lambda: self._lost(road))
        road.close()

    def _do(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001 - the actor lives on, and it is told
            self._trouble("something that came could not be done", error)
