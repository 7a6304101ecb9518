"""Everyone who talks to the hub: their links, and who they are.

Owns the ROUTER's outgoing side. Never interprets messages. ROUTER_MANDATORY makes a vanished peer an error
instead of silence; the links' credit keeps a slow peer from filling memory with frames.
Read next: `../wire/link.py`, `hub.py`.
"""

from dataclasses import dataclass, field
from typing import Any

import zmq

from cellmesh.scheduler.wire.link import LIFE_BITS, Link
from cellmesh.scheduler.wire.messages import Refuse, ToHub


@dataclass(slots=True)
class Peer:
    identity: bytes
    link: Link[Any]
    known: set[str] = field(default_factory=set)  # digests of the blobs that a worker has


class Peers:
    def __init__(self, socket: zmq.Socket[bytes], epoch: int) -> None:
        self._socket = socket
        # A hub that came back may answer before it is greeted: its numbers must not look like old ones.
        self._first = epoch << LIFE_BITS
        self._peers: dict[bytes, Peer] = {}
        self._dirty: set[bytes] = set()  # to whom something is to be sent, acknowledgements included
        self._hurried: set[bytes] = set()
        self._leaving: set[bytes] = set()

    def receive(self, identity: bytes, frame: bytes) -> list[Any]:
        """Messages of a frame that came from a peer."""
        messages = self._peer(identity).link.receive(frame)
        self._dirty.add(identity)
        return messages

    def greeted(self, identity: bytes) -> None:
        """The peer has (re)connected: send again what its former connection may have lost."""
        self._leaving.discard(identity)
        self._peer(identity).link.resend()

    def get(self, identity: bytes) -> Peer | None:
        return self._peers.get(identity)

    def send(self, identity: bytes, message: Any) -> bool:
        """Queue a message; False if there is no such peer."""
        peer = self._peers.get(identity)
        if peer is None:
            return False
        peer.link.send(message)
        self._dirty.add(identity)
        return True

    def refuse(self, identity: bytes, why: str) -> None:
        """Tell a peer that it cannot be understood or is not known, whatever its link is at; forget it."""
        self._peer(identity).link.say(Refuse(why))
        self.drop(identity)

    def counts(self) -> dict[bytes, tuple[int, int]]:
        """How far each link has come, for a hub that goes on after us."""
        return {identity: peer.link.counts for identity, peer in self._peers.items()}

    def restore(self, counts: dict[bytes, tuple[int, int]]) -> None:
        """Go on from there."""
        for identity, count in counts.items():
            self._peer(identity).link.counts = count

    def restart(self) -> None:
        """After a replay: what it queued was sent by the hub that died, or will be asked for again."""
        for identity in self._leaving:
            self.drop(identity)
        self._leaving.clear()
        counts = self.counts()
        self._peers.clear()
        self._dirty.clear()
        for identity, (seen, seq) in counts.items():
            self._peer(identity).link.counts = seen, max(seq, self._first)

    def drop(self, identity: bytes) -> None:
        """Forget a peer that is gone, or an onlooker that has its answer and may ask again."""
        self._peers.pop(identity, None)
        self._dirty.discard(identity)

    def leave(self, identity: bytes) -> None:
        """This peer is gone, or nobody we know: forget it with the next flush, as it may wait for a word."""
        self._leaving.add(identity)
        self._dirty.add(identity)

    def hurry(self, identity: bytes) -> None:
        """This peer waits for our acknowledgement."""
        self._hurried.add(identity)

    @property
    def waiting(self) -> bool:
        """Whether somebody is still to be acknowledged."""
        return bool(self._dirty)

    def flush(self, *, acknowledge: bool = True) -> None:
        """Send what has gathered for everyone; see `Link.flush`."""
        for identity in list(self._dirty):
            peer = self._peers.get(identity)
            if peer is not None:
                hurried = identity in self._hurried or identity in self._leaving
                peer.link.flush(acknowledge=acknowledge or hurried)
                if peer.link.owes:
                    continue
            self._dirty.discard(identity)
        for identity in self._leaving:
            self.drop(identity)
        self._leaving.clear()
        self._hurried.clear()

    def _peer(self, identity: bytes) -> Peer:
        peer = self._peers.get(identity)
        if peer is None:
            link: Link[Any] = Link(ToHub, lambda frame: self._transmit(identity, frame))
            link.counts = 0, self._first
            peer = self._peers[identity] = Peer(identity, link)
        return peer

    def _transmit(self, identity: bytes, frame: bytes) -> None:
        try:
            self._socket.send_multipart([identity, frame], copy=len(frame) < 65536)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            # The peer's process is gone or reconnecting: its end comes through its pidfd or the
            # nursery, its return through a greeting; what is unacknowledged is kept until then.
