"""A hub without processes around it: what is said to it, by whom.

Owns no fixture; these are in `conftest.py`.
"""

from __future__ import annotations

import msgspec
import zmq

from cellmesh.scheduler.core.ids import ClientId, SessionId
from cellmesh.scheduler.hub import recovery
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.journal import Entry
from cellmesh.scheduler.wire import messages as msg

S, C, KERNEL = SessionId("s"), ClientId("c"), b"kc"


def tell(hub: Hub, identity: bytes, seq: int, *messages: msg.Wire) -> None:
    frame = msgspec.msgpack.encode((seq, 0, messages))
    recovery.apply(hub, Entry("frame", 1.0, 1.0, identity.decode("latin-1"), frame))


def take_frame(hub: Hub, router: zmq.Socket[bytes]) -> None:
    """The next one that a real socket brings."""
    identity, frame = router.recv_multipart()
    recovery.apply(hub, Entry("frame", 1.0, 1.0, identity.decode("latin-1"), frame))


def launch(hub: Hub, job: int, seq: int, digest: str) -> None:
    """The kernel submits one task that needs this blob."""
    task = msg.TaskWire(0, "call", b"", [digest])
    tell(hub, KERNEL, seq, msg.OpenJob(job, "submit", "f"), msg.Submit(job, [task], True))
