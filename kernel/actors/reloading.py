"""`%mesh reload llm`: a living object moves to the class as the notebook has it now.

Owns finding that class, and telling both the actor and the hub. The object keeps its state. Read next:
`starting.py`, `digest.py`.
"""

from typing import Any

from cellmesh.kernel import packing
from cellmesh.kernel.packing import Packed
from cellmesh.kernel.session import Session
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.wire.actors import ActorInfo

from . import digest, listing, waits
from .classes import MARK
from .directory import directory_of
from .future import ActorFuture


def reload(session: Session, name: str, namespace: dict[str, Any]) -> str:
    """Move the actor of this name, or replicas, to the class of its title in the namespace; that title."""
    titles = [_reload(session, info, namespace) for info in listing.find(session, name)]
    return titles[0]


def _reload(session: Session, info: ActorInfo, namespace: dict[str, Any]) -> str:
    name = info.name or info.title
    kind = namespace.get(info.title)
    if not isinstance(kind, type) or MARK not in kind.__dict__:
        what = "is not here" if kind is None else "is here, but no class with @cm.actor"
        raise EngineError(
            f'The class of actor "{name}", {info.title}, {what}. Run the cell that defines it, then reload.'
        )
    caller = directory_of(session).caller(info)
    prefix = session.engine.object_prefix()
    try:
        packed = packing.pack(kind, prefix)
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
        raise packing.explained(error, [(f"the class {info.title}", kind)]) from None
    blob = session.put_blob(packing.pack(kind, prefix).finish(prefix))
    payload = packed.finish(prefix)
    title = f"%mesh reload {name}"
    future: ActorFuture = caller.call(
        "", Packed(payload), lambda number: ActorFuture(caller, number, title), "reload"
    )
    same = digest.with_class(caller.info.same, kind)

    over: list[ActorFuture] = []

    def moved(done: ActorFuture) -> None:
        if not done.failed():
            session.engine.actors.renew(info.id, blob, same)
        over.append(done)
        session.bell.ring()

    future.add_done_callback(moved)  # whatever becomes of this wait: the hub must know as well
    waits.until(caller, lambda: bool(over), None, title)  # Stop abandons it: half a reload would be worse
    future.result()
    return info.title
