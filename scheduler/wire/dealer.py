"""The client's end of the hub's socket: a DEALER, its link and its reconnections, and a thread that listens.

Owns the socket, the thread and the greeting after each (re)connection. Whoever posts sends at once, in its
own thread: handing messages to another one costs more than sending them. So the socket is used under a lock,
and the thread sleeps on descriptors, never inside zmq. Never interprets messages: they are handed to a
callback in the dealer's thread. Kernels and workers both use it. Read next: `link.py`.
"""

import math
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import zmq
from zmq.utils.monitor import parse_monitor_message

from .link import PATIENCE, PROMPT, Link
from .messages import AckNow
from .waker import Waker

M = TypeVar("M")

LATER = math.ceil(PATIENCE * 1000)


class Dealer(Generic[M]):
    """Talk to a hub from any thread; hear from it in one.

    `greeting()` makes the first message of every connection. `on_messages` gets each burst; `on_lost` is
    called when the hub's end goes away, and again once a second until it is back. `readers` are further
    descriptors to watch in the same thread.
    """

    def __init__(
        self,
        address: str,
        identity: bytes,
        accepts: Any,
        *,
        greeting: Callable[[], Any],
        on_messages: Callable[[list[M]], None],
        on_lost: Callable[[], None] | None = None,
        readers: Mapping[int, Callable[[int], None]] | None = None,
        name: str = "cellmesh-io",
    ) -> None:
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, identity)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # the link's credit bounds what is under way
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
        self._link: Link[M] = Link(accepts, self._transmit)
        self._greeting = greeting
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._readers = dict(readers or {})
        self._outbox: deque[Any] = deque()
        self._later: deque[Any] = deque()
        self._waker = Waker()
        self._asleep = False
        self._timed = False  # asleep, but not for long
        self._nudged = False
        self._closing = False
        self._connected = False
        self._drains: deque[threading.Event] = deque()  # who waits until everything is acknowledged
        self._using = threading.Lock()  # the socket and the link
        self._user = 0  # the posting thread that holds it
        self._sending = False  # or a sender was interrupted half-way: what is unacknowledged is sent again
        self._more = False  # the socket has something to read, and its descriptor has told so already
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._socket.connect(address)

    def start(self) -> None:
        """Begin to talk."""
        self._thread.start()

    def post(self, *messages: Any) -> None:
        """Send messages, from any thread, also out of a finalizer that runs while this thread sends."""
        try:
            self._outbox.extend(messages)
            if threading.current_thread() is self._thread or not self._connected:
                return  # they leave at the end of its turn, or with the connection
            if self._user == threading.get_ident():
                self._waker.wake()
                return
            with self._using:
                self._user = threading.get_ident()
                try:
                    self._send()
                    more = self._connected and self._readable()
                finally:
                    self._user = 0
        except BaseException:  # a KeyboardInterrupt at any point: the receiver knows what it has
            self._waker.wake()
            raise
        if more:  # sending may have taken the news off the descriptor
            self._waker.wake()

    def post_later(self, *messages: Any) -> None:
        """Send messages that nobody waits for: with the next ones, or a moment later."""
        self._later.extend(messages)
        if self._asleep and not self._timed:
            self._waker.wake()

    def nudge(self) -> None:
        """Have `on_messages` called, in this thread, though none may have come. A finalizer may ask."""
        if not self._nudged:
            self._nudged = True
            self._waker.wake()

    def drain(self, timeout: float) -> bool:
        """Wait until the hub has acknowledged everything; whether it did in time."""
        drained = threading.Event()
        self._drains.append(drained)
        self.post(AckNow())
        self._waker.wake()
        return drained.wait(timeout)

    @property
    def idle(self) -> bool:
        """Whether everything posted has been acknowledged. For use in the dealer's own thread."""
        return self._link.idle and not self._outbox and not self._later

    def close(self) -> None:
        """Stop the thread and free the socket."""
        self._closing = True
        self._waker.wake()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(timeout=2.0)

    # --- the dealer's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        poller = select.poll()
        news, monitor = (
            cast(int, self._socket.getsockopt(zmq.FD)),
            cast(int, self._monitor.getsockopt(zmq.FD)),
        )
        for fd in (news, monitor, self._waker.fd, *self._readers):
            poller.register(fd, select.POLLIN)
        lost = False
        try:
            while not self._closing:
                ready = self._sleep(poller, lost)
                for fd, _ in ready:
                    if fd == self._waker.fd:
                        self._waker.clear()
                    elif fd in self._readers:
                        self._readers[fd](fd)
                if _has_news(self._monitor):
                    lost = self._watch_connection()
                if lost and self._on_lost is not None:
                    self._on_lost()
                self._receive()
                if self._nudged:
                    self._nudged = False
                    self._on_messages([])
                with self._using:
                    self._send(everything=not ready)
                    self._more = self._readable()
                waiting = len(self._drains)  # before the look: who comes later may have posted since
                if waiting and self.idle:
                    for _ in range(waiting):
                        self._drains.popleft().set()
        finally:
            with self._using:
                self._connected = False
                self._socket.disable_monitor()
                self._monitor.close(0)
                self._socket.close(0)
            self._context.term()
            self._waker.close()

    def _sleep(self, poller: select.poll, lost: bool) -> list[tuple[int, int]]:
        self._timed = bool(self._link.owes or self._later)
        self._asleep = True
        # What was posted later before `_asleep` was set did not wake us: look before sleeping.
        pause = 1000 if lost else LATER if self._timed or self._later else None
        ready = poller.poll(0 if self._more or (self._outbox and self._connected) else pause)
        self._asleep = False
        return ready or ([(-1, 0)] if self._more else [])

    def _readable(self) -> bool:
        return _has_news(self._socket)

    def _watch_connection(self) -> bool:
        while _has_news(self._monitor):
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            connected = event == zmq.EVENT_CONNECTED
            with self._using:
                if connected:
                    self._link.reconnect(self._greeting())
                self._connected = connected
        return not self._connected

    def _receive(self) -> None:
        bursts: list[list[M]] = []
        with self._using:
            while self._readable():
                messages = self._link.receive(self._socket.recv())
                if messages:
                    bursts.append(messages)
        for messages in bursts:
            self._on_messages(messages)

    # --- in any thread, under the lock ----------------------------------------------------------------

    def _transmit(self, frame: bytes) -> None:
        self._socket.send(frame, 0, len(frame) < 65536)

    def _send(self, *, everything: bool = False) -> None:
        """Whoever is interrupted here leaves a message twice rather than not at all: all may come twice."""
        outbox, later, link = self._outbox, self._later, self._link
        if self._sending:  # first of all: who has seen a later frame takes earlier ones for seen
            link.resend()
        self._sending = True
        if outbox or everything or len(later) >= PROMPT:
            while later:
                link.send(later[0])
                later.popleft()
        while outbox:
            link.send(outbox[0])
            outbox.popleft()
        if self._connected:
            link.flush(acknowledge=everything)
        self._sending = False


def _has_news(socket: zmq.Socket[bytes]) -> bool:
    return bool(cast(int, socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
