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
    """A finished Future whose value lies in shared memory, for any number of tasks to use without copies.

    >>> table = cm.put(numpy.random.random((10_000, 1_000)))
    >>> cm.map(lambda i, table: table[i].sum(), range(10_000), table=table).result()

    A task that is given the Future, or uses it, has its value; here, `.result()` is the value. Arrays and
    tables are read in place, by all, and so they are read-only: take a `.copy()` to change one.
    """
    session = attaching.current()
    session.drain_claims()  # a loop that puts and rebinds must not pile up what it has dropped
    with makers.undone(session.engine.drop):
        return _placed(session, value)


def _placed(session: Session, value: Any) -> Future:
    try:
        packed = packing.pack(value, session.engine.task_prefix())
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
        raise packing.explained(error, [("what cm.put was given", value)]) from None
    for future in packed.waits:
        future.result()
    payload = packed.finish(session.engine.task_prefix())
    placed = Future(session, f"put {type(value).__name__}")
    if isinstance(payload, Ref):
        session.engine.keep(payload)
        placed.keep(payload.name, packed.holds)
    placed.settle(Item(0, True, payload))
    return placed
