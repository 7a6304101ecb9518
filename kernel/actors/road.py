"""One connection to an actor's process.

Owns when what was posted is sent, and who reads. The main thread of a notebook that waits for an answer reads
it itself, for a hand-over from another thread would cost as much as the call, and keeps the road to itself
for a moment afterwards: the next call mostly follows. Stop never tears a read or a send in two. Never
interprets messages. Read next: `roads.py`, `reach.py`, `cellmesh/scheduler/wire/framing.py`.
"""

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations, which cost more
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from cellmesh.kernel.deferring import deferred
from cellmesh.kernel.waiting import Bell
from cellmesh.scheduler.wire.direct import FromHost
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.waker import Waker

if TYPE_CHECKING:
    from .roads import Roads

AT_ONCE = 32
"""Messages that are sent by who posts the last of them, whatever else is under way."""

HAS_EPOLL = hasattr(select, "epoll")


class Road:
    """`on_messages` is called by whoever reads; `on_lost` too, with what broke it if that was an error."""

    def __init__(
        self,
        roads: "Roads",
        address: str,
        on_messages: Callable[["Road", list[Any]], None],
        on_lost: Callable[["Road", Exception | None], None],
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
        self._sleeps = False
        self._stopped = False
        self.closed = False
        self.looked_at = False  # by the listening thread, which is going to flush it
        self.kept = False  # by the main thread: the listening one does not hear it
        self.waits = 0  # that the main thread has had on it
        self.descriptor = sock.fileno()
        roads.add(self)

    # --- sending ------------------------------------------------------------------------------------

    def post(self, message: Any, *, prompt: bool) -> None:
        """Send a message: at once, or once this is left to `settle`. While Stop is put off."""
        self._framed.post(message)
        if prompt:
            self._send()

    def settle(self) -> None:
        """What was posted is sent with what comes until the listening thread gets to it."""
        waiting = self._framed.waits
        if waiting:
            if self.kept:
                self.listen()
            if waiting >= AT_ONCE:
                self.flush()
            else:
                self._roads.look_at(self)

    def flush(self) -> None:
        """Send what was posted."""
        if self._framed.waits or self._framed.full:
            with deferred():
                self._send()

    def _send(self) -> None:
        if self.closed:
            return
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

    def listen(self) -> None:
        """Have the listening thread hear it again, unless the main thread reads. Any thread."""
        if self.kept and self._turn.acquire(blocking=False):
            try:
                self.kept = False
                self._roads.listen(self)
            finally:
                self._release()

    def read_until(
        self, done: Callable[[], bool], timeout: float, bell: Bell, idle: Callable[[], bool]
    ) -> bool:
        """Read here until `done()`; False if that cannot be, or takes too long.

        If nothing else is to come (`idle()`), the main thread keeps the road for a moment.
        """
        if not HAS_EPOLL or threading.current_thread() is not threading.main_thread():
            self.listen()
            return done()
        handler = _signal.getsignal(_signal.SIGINT)
        if handler is not signal.default_int_handler and not _is_known(handler):
            self.listen()
            return done()  # a handler that we do not know may raise wherever it likes
        self._stopped = self._sleeps = False
        _signal.signal(_signal.SIGINT, self._on_stop)
        taken = False
        try:
            taken = self._turn.acquire(blocking=False)
            if taken:
                self.waits += 1
                if not self.kept:
                    self.kept = True
                    self._roads.leave(self)
                self._read_until(done, timeout, bell)
        finally:
            self._sleeps = False
            if taken:
                self._release()
                # Only now: whoever could not take it back while this was reading, has said so before.
                if not (self._roads.keeps(self) and idle()):
                    self.listen()
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
            self._sleeps = False
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
            if messages:
                self._on_messages(self, messages)
        except EOFError:
            self._lose(None)
        except Exception as error:  # noqa: BLE001 - what came is nothing we know, or a callback failed: others go on
            self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        self.close()
        self._on_lost(self, error)

    def close(self) -> None:
        """Hang up; nothing more is heard of it. Any thread: who reads is woken, frees what it sleeps on."""
        if self._roads.remove(self):  # else another thread is at it
            self.closed = True  # not before: its descriptor may be freed from now on
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


def _is_known(handler: object) -> bool:
    """Whether this is ipykernel's handler of SIGINT: as that of Python's own, its work can be done later."""
    return (getattr(handler, "__module__", "") or "").startswith("ipykernel")
