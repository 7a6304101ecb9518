"""`cm.put`: an object that many calls use, sent once.

Owns its way into shared memory. Never looks at what it holds. Read next: `packing.py`, `futures.py`.
"""

from typing import Any

from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.wire.messages import Item, Ref

from . import attaching, packing
from .futures import Future
from .session import Session


def put(value: Any) -> Future:
    """A finished Future whose value lies in shared memory, for any number of tasks to use without copies."""
    session = attaching.current()
    session.drain_claims()  # a loop that puts and rebinds must not pile up what it has dropped
    with makers.undone(session.engine.drop):
        return _placed(session, value)


def _placed(session: Session, value: Any) -> Future:
    packed = packing.pack(value, session.engine.object_prefix())
    for future in packed.waits:
        future.result()
    payload = packed.finish(session.engine.object_prefix())
    placed = Future(session, f"put {type(value).__name__}")
    if isinstance(payload, Ref):
        session.engine.keep(payload)
        placed.keep(payload.name, packed.holds)
    placed.settle(Item(0, True, payload))
    return placed
