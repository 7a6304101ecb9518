"""The client's end of the hub's socket: one thread that owns a DEALER, its link and its reconnections.

Owns the socket, the thread and the greeting after each (re)connection. Never interprets messages: they are
handed to a callback in this thread. Kernels and workers both use it. Read next: `link.py`.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

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
        self._closing = False
        self._connected = False
        self._drained = threading.Event()
        self._posting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._socket.connect(address)

    def start(self) -> None:
        """Begin to talk."""
        self._thread.start()

    def post(self, *messages: Any) -> None:
        """Send messages, from any thread; returns at once."""
        with self._posting:  # or the thread might find all sent between the two
            self._drained.clear()
            self._outbox.extend(messages)
        if self._asleep:  # a busy thread looks at the outbox before it sleeps
            self._waker.wake()

    def post_later(self, *messages: Any) -> None:
        """Send messages that nobody waits for: with the next ones, or a moment later."""
        with self._posting:
            self._drained.clear()
            self._later.extend(messages)
        if self._asleep and not self._timed:
            self._waker.wake()

    def drain(self, timeout: float) -> bool:
        """Wait until the hub has acknowledged everything; whether it did in time."""
        self.post(AckNow())
        self._waker.wake()
        return self._drained.wait(timeout)

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

    def _transmit(self, frame: bytes) -> None:
        self._socket.send(frame, 0, len(frame) < 65536)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        poller.register(self._waker.fd, zmq.POLLIN)
        for fd in self._readers:
            poller.register(fd, zmq.POLLIN)
        lost = False
        try:
            while not self._closing:
                self._timed = bool(self._link.owes or self._later)
                self._asleep = True
                # Anything posted before `_asleep` was set did not wake us: look before sleeping.
                pause = 1000 if lost else LATER if self._timed or self._later else None
                ready = poller.poll(0 if self._outbox else pause)
                self._asleep = False
                for source, _ in ready:
                    if source == self._waker.fd:
                        self._waker.clear()
                    elif source is self._monitor:
                        lost = self._watch_connection()
                    elif isinstance(source, int) and source in self._readers:
                        self._readers[source](source)
                if lost and self._on_lost is not None:
                    self._on_lost()
                self._receive()
                self._send(everything=not ready)
        finally:
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(0)
            self._context.term()
            self._waker.close()

    def _watch_connection(self) -> bool:
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            self._connected = event == zmq.EVENT_CONNECTED
            if self._connected:
                self._link.reconnect(self._greeting())
        return not self._connected

    def _receive(self) -> None:
        while True:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            messages = self._link.receive(frame)
            if messages:
                self._on_messages(messages)

    def _send(self, *, everything: bool) -> None:
        outbox, later = self._outbox, self._later
        if outbox or everything or len(later) >= PROMPT:
            while later:
                self._link.send(later.popleft())
        while outbox:
            self._link.send(outbox.popleft())
        if self._connected:
            self._link.flush(acknowledge=everything)
        if self._link.idle and not self._drained.is_set():
            with self._posting:
                if not outbox and not later:
                    self._drained.set()
