"""A link: ordered, acknowledged frames of messages over one zmq peer relation.

Owns framing, sequence numbers, credit and resending. Never owns a socket: it is given a function that
sends bytes. A frame is `[seq, ack, messages]`; everything that gathers between two flushes travels as one
frame, so that load makes batches and idleness makes none. At most `WINDOW` frames are unacknowledged:
beyond that messages wait here, which is the flow control that zmq's ROUTER does not give (a default
ROUTER drops). Unacknowledged frames are sent again after the hub came back; the receiver drops frames it
has seen, and frames that overtake one which the former connection lost.
Read next: `../hub/hub.py`, `../worker/main.py`, `../engines/embedded.py`.
"""

import functools
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

WINDOW = 64
PROMPT = WINDOW // 4
"""So many frames are acknowledged at once; fewer may wait for something to travel with."""

PATIENCE = 0.05
"""Seconds that an acknowledgement may wait: by itself it would wake the other side for nothing."""

M = TypeVar("M")

LIFE_BITS = 32
"""A peer in its n-th life numbers its frames from n << LIFE_BITS."""

_encode = msgspec.msgpack.Encoder().encode


@functools.cache
def decoder(accepts: Any) -> Any:
    """Of frames with these messages. It takes a millisecond, which a template spends for all its workers."""
    return msgspec.msgpack.Decoder(tuple[int, int, list[accepts]])


class Link(Generic[M]):
    """One side of a relation that receives messages of type M.

    >>> wire = []
    >>> link = Link(int, wire.append)
    >>> link.send(1); link.send(2); link.flush()
    >>> Link(int, wire.append).receive(wire[0])
    [1, 2]
    """

    def __init__(self, accepts: Any, transmit: Callable[[bytes], object]) -> None:
        self._decode: Callable[[bytes], tuple[int, int, list[M]]] = decoder(accepts).decode
        self._transmit = transmit
        self._pending: list[Any] = []
        self._unacked: deque[tuple[int, bytes]] = deque()
        self._seq = 0
        self._seen = 0  # highest frame taken from the peer
        self._acked = 0  # highest frame of the peer's that we have acknowledged

    def send(self, message: Any) -> None:
        """Queue a message; it leaves with the next flush."""
        self._pending.append(message)

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent or acknowledged."""
        return not self._pending and not self._unacked

    @property
    def backlog(self) -> int:
        """Messages that wait for credit."""
        return len(self._pending)

    @property
    def owes(self) -> bool:
        """Whether frames were taken that are not acknowledged."""
        return self._seen > self._acked

    def flush(self, *, acknowledge: bool = True) -> None:
        """Send what has gathered, if the peer has credit, and acknowledge what was taken.

        Without `acknowledge` a few frames may wait for that until something else is sent.
        """
        if self._pending and len(self._unacked) < WINDOW:
            # In this order: whoever is interrupted half-way has it sent twice rather than not at all. A
            # number is taken with its frame: the other side would wait for one that was never made.
            seq = self._last() + 1
            frame = _encode((seq, self._seen, self._pending))
            self._unacked.append((seq, frame))
            self._seq = seq
            self._pending = []
            self._acked = self._seen
            self._transmit(frame)
        elif self._seen - self._acked >= (1 if acknowledge else PROMPT):
            self._acked = self._seen
            self._transmit(_encode((0, self._seen, ())))

    def receive(self, frame: bytes) -> list[M]:
        """Take a frame; returns its messages, or none if it was taken before."""
        seq, ack, messages = self._decode(frame)
        while self._unacked and self._unacked[0][0] <= ack:
            self._seq = max(self._seq, self._unacked.popleft()[0])
        if seq > 0:
            if seq != self._seen + 1 and not self._begins_life(seq):
                return []  # taken before; or it overtook what the greeting will bring again
            self._seen = seq
        elif seq < 0:  # a greeting: here is all that the peer still has, and what it has of ours
            self._seen = max(self._seen, -seq - 1)
            self._seq = max(self._last(), ack)
        return messages

    def _last(self) -> int:
        """The highest number that a frame has."""
        return max(self._seq, self._unacked[-1][0]) if self._unacked else self._seq

    def _begins_life(self, seq: int) -> bool:
        life = seq >> LIFE_BITS
        return life > self._seen >> LIFE_BITS and seq == (life << LIFE_BITS) + 1

    def reconnect(self, greeting: Any) -> None:
        """The peer came back: greet it, and send again what it may have missed.

        What was seen of it is not forgotten: a peer in a new life numbers its frames from above the old. The
        greeting's own number is negative, and says which frame comes next.
        """
        first = self._unacked[0][0] if self._unacked else self._seq + 1
        self._transmit(_encode((-first, self._seen, (greeting,))))
        self.resend()

    def say(self, message: Any) -> None:
        """Send this now and once, out of the order: for words to somebody whose numbers are not known."""
        self._transmit(_encode((0, 0, (message,))))

    def resend(self) -> None:
        """Send again what has not been acknowledged; the other side drops what it has."""
        for _, frame in self._unacked:
            self._transmit(frame)

    @property
    def counts(self) -> tuple[int, int]:
        """(highest frame taken, highest frame sent): what a new life of this link must know.

        It must number its frames from above the old ones, as it may be heard before it is greeted.
        """
        return self._seen, self._last()

    @counts.setter
    def counts(self, counts: tuple[int, int]) -> None:
        self._seen, self._seq = counts
