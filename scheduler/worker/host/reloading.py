"""New code for a living object: its class is exchanged, its state stays.

Owns that exchange, for the object and for what it is made of. All or nothing: if one object cannot follow,
none does. Never runs `__init__`. Read next: `living.py`.
"""

import gc
from typing import Any

from cellmesh.scheduler.objects import classes, namespaces
from cellmesh.scheduler.wire.messages import Payload

from .living import Living


class ReloadError(TypeError):
    """The living object cannot be moved to the new class; it stays as it is."""


def reload(living: Living, payload: Payload, namespace: dict[str, Any]) -> None:
    """Move the object to the class in this payload, and instances of classes that came with it."""
    before = classes.received()
    kind = namespaces.loads(payload, namespace)
    if not isinstance(kind, type):
        raise ReloadError(f"What was sent to reload {living.title} is no class, but {kind!r}.")
    came = classes.received() - before - {kind}
    moves: list[tuple[Any, type]] = [(living.object, kind)]
    if came:
        by_name = {(each.__module__, each.__qualname__): each for each in came}
        for thing in gc.get_objects():
            old = type(thing)
            new = by_name.get((old.__module__, old.__qualname__))
            if new is not None and new is not old:
                moves.append((thing, new))
    moved: list[tuple[Any, type]] = []
    try:
        for thing, new in moves:
            old = type(thing)
            thing.__class__ = new
            moved.append((thing, old))
    except TypeError as error:
        for thing, old in moved:
            thing.__class__ = old
        raise ReloadError(
            f"The living object cannot become the new {kind.__qualname__}: {error}. Its state is as it was; "
            "start it anew (replace=True) to change what it is made of."
        ) from None
    living.title = kind.__qualname__
    living.become(living.object)
