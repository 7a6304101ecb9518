"""Sockets to actors' processes, and the thread that listens to them while nobody else does.

Owns when what was posted is sent, and who reads. The main thread of a notebook that waits for an answer reads
it itself: a hand-over from another thread would cost as much as the call. Stop never tears a read or a send
in two. Never interprets messages.
Read next: `caller.py`, `cellmesh/scheduler/wire/framing.py`.
"""

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations, which cost more
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from cellmesh.kernel.deferring import deferred
from cellmesh.kernel.waiting import Bell
from cellmesh.scheduler.wire.direct import FromHost
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.waker import Waker

AT_ONCE = 32
"""Messages that are sent by who posts the last of them, whatever else is under way."""

GATHER_SECONDS = 0.001
"""What is posted while calls are under way waits so long for more; whoever waits for an answer sends it."""

_HAS_EPOLL = hasattr(select, "epoll")


class Road:
    """One connection. `on_messages` and `on_lost` are called by whoever reads."""

    def __init__(
        self,
        roads: "Roads",
        address: str,
        on_messages: Callable[["Road", list[Any]], None],
        on_lost: Callable[["Road"], None],
    ) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        self._roads = roads
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._socket = sock
        self._framed = Framed(sock, FromHost)
        self._turn = threading.Lock()  # of reading
        self._waker = Waker()
        self._polled = select.poll()
        self._polled.register(sock, select.POLLIN)
        self._polled.register(self._waker.fd, select.POLLIN)
        self._waiting_to_send = 0
        self._sleeps = False
        self._stopped = False
        self.closed = False
        self.looked_at = False  # by the listening thread, which is going to flush it
        self.descriptor = sock.fileno()
        roads.add(self)

    # --- sending ------------------------------------------------------------------------------------

    def post(self, message: Any, *, prompt: bool) -> None:
        """Send a message, at once or with what else comes in the next moment."""
        self._framed.post(message)
        self._waiting_to_send += 1
        if prompt or self._waiting_to_send >= AT_ONCE:
            self.flush()
        else:
            self._roads.look_at(self)

    def flush(self) -> None:
        """Send what was posted."""
        self._waiting_to_send = 0
        if self.closed or not (self._framed.waits or self._framed.full):
            return
        with deferred():
            try:
                self._framed.send()
            except OSError:
                return  # it is gone, and whoever reads hears of that
            except BaseException:  # an interrupt of a thread: nobody knows how much was sent
                self.hang_up()
                raise
        if self._framed.full:
            self._roads.look_at(self)

    @property
    def full(self) -> bool:
        """Whether the other side does not keep up."""
        return self._framed.full

    def hang_up(self) -> None:
        """Have the connection end, as if the other side had done so."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already

    # --- reading ------------------------------------------------------------------------------------

    def read(self) -> None:
        """In the listening thread: take what is there, unless somebody else is at it."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._take()
        finally:
            self._release()

    def read_until(self, done: Callable[[], bool], timeout: float, bell: Bell) -> bool:
        """Read here until `done()`; False if that cannot be, or takes too long."""
        if not _HAS_EPOLL or threading.current_thread() is not threading.main_thread():
            return done()
        handler = _signal.getsignal(_signal.SIGINT)
        if not _is_known(handler):
            return done()  # a handler that we do not know may raise wherever it likes
        self._stopped = self._sleeps = False
        _signal.signal(_signal.SIGINT, self._on_stop)
        taken = False
        try:
            taken = self._turn.acquire(blocking=False)
            if taken:
                self._roads.leave(self)
                self._read_until(done, timeout, bell)
        finally:
            self._sleeps = False
            if taken:
                self._release()
                self._roads.listen(self)
            _signal.signal(_signal.SIGINT, handler)
        if self._stopped:
            raise KeyboardInterrupt
        return done()

    def _read_until(self, done: Callable[[], bool], timeout: float, bell: Bell) -> None:
        deadline = time.monotonic() + timeout
        waiter = bell.enter(done, self._wake)
        try:
            while (rest := deadline - time.monotonic()) > 0:
                self._sleeps = True  # before looking: what comes true from now on wakes us
                if done() or self.closed or self._stopped:
                    return
                events = self._polled.poll(rest * 1000)
                self._sleeps = False
                for descriptor, _ in events:
                    if descriptor == self._waker.fd:
                        self._waker.clear()
                    else:
                        self._take()
        finally:
            bell.leave(waiter)

    def _wake(self) -> None:
        if self._sleeps:
            self._waker.wake()

    def _on_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop: raised out of sleep alone, for what was read must be handed on."""
        if self._sleeps:
            self._sleeps = False  # once: what is put back in order on the way out must not be torn by another
            signal.default_int_handler(signum, frame)
        self._stopped = True

    def _take(self) -> None:
        if self.closed:
            return
        try:
            messages = self._framed.receive()
        except EOFError:
            self.close()
            self._on_lost(self)
            return
        if messages:
            self._on_messages(self, messages)

    def close(self) -> None:
        """Hang up; nothing more is heard of it. Any thread: who reads is woken, frees what it sleeps on."""
        if not self.closed:
            self.closed = True
            self._roads.remove(self)
            self.hang_up()
            self._free()

    def _release(self) -> None:
        """The turn of reading is over."""
        self._turn.release()
        if self.closed:
            self._free()

    def _free(self) -> None:
        if self._turn.acquire(blocking=False):  # for good; else whoever has it comes here
            self._framed.close()
            self._waker.close()


class Roads:
    """All roads of this process, and the thread that listens."""

    def __init__(self) -> None:
        self._waker = Waker()
        self._poller: Any = select.epoll() if _HAS_EPOLL else select.poll()
        self._roads: dict[int, Road] = {}
        self._looked_at: list[Road] = []
        self._closed = False
        self._poller.register(self._waker.fd, select.POLLIN)
        threading.Thread(target=self._run, name="cellmesh-actors", daemon=True).start()

    def add(self, road: Road) -> None:
        """Listen to it from now on."""
        self._roads[road.descriptor] = road
        self._poller.register(road.descriptor, select.POLLIN)
        if not _HAS_EPOLL:
            self._waker.wake()

    def remove(self, road: Road) -> None:
        """Its descriptor is about to be closed."""
        if self._roads.pop(road.descriptor, None) is not None:
            self._poller.unregister(road.descriptor)

    def leave(self, road: Road) -> None:
        """Somebody else reads it; the thread is not woken by it."""
        self._modify(road, 0)

    def listen(self, road: Road) -> None:
        """Nobody else reads it any more."""
        self._modify(road, select.POLLIN)

    def _modify(self, road: Road, events: int) -> None:
        with suppress(FileNotFoundError):  # closed by another thread just now
            if not road.closed:
                self._poller.modify(road.descriptor, events)

    def look_at(self, road: Road) -> None:
        """Something waits there to be sent: soon, if nobody sends it before."""
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
            if full:
                self._wait_for_room(full)
            for descriptor, _ in self._poller.poll(0 if full else None):
                if descriptor == self._waker.fd:
                    self._waker.clear()
                    if self._looked_at:
                        time.sleep(GATHER_SECONDS)
                    looked_at, self._looked_at = self._looked_at, []
                    for road in looked_at:
                        road.looked_at = False  # first: what comes from now on may miss this flush
                        road.flush()
                elif (found := self._roads.get(descriptor)) is not None:
                    found.read()
        self._waker.close()
        if _HAS_EPOLL:
            self._poller.close()

    def _wait_for_room(self, full: list[Road]) -> None:
        """Until one of these takes more, or anything else happens."""
        room = select.poll()
        for road in full:
            room.register(road.descriptor, select.POLLOUT)
        room.register(self._poller.fileno() if _HAS_EPOLL else self._waker.fd, select.POLLIN)
        for descriptor, _ in room.poll():
            if (road_ := self._roads.get(descriptor)) is not None:
                road_.flush()


def _is_known(handler: object) -> bool:
    """Whether this is Python's own handler of SIGINT, or ipykernel's: what these do can be done later."""
    module = getattr(handler, "__module__", "") or ""
    return handler is signal.default_int_handler or module.startswith("ipykernel")
