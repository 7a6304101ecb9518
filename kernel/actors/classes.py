"""What `@cm.actor` makes of a class: the same class, which can also be started.

Owns `Model.start` and `Model.options`, seen on the class alone; its objects have what the class itself has
by these names. Light to import, for the class brings it along to the actor's process. Never starts by
itself. Read next: `decorating.py`, `starting.py`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .starting import Starter

MARK = "__cellmesh_actor__"
"""The class's attribute with its options."""

VERBS = ("start", "options")


class Verb:
    """`start` or `options` of a decorated class."""

    def __init__(self, name: str, users: Any) -> None:
        self._name = name
        self.cellmesh_users = users  # what the class has by that name, in a tuple; empty if there is nothing

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return getattr(starter(owner), self._name)
        if not self.cellmesh_users:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}")
        (users,) = self.cellmesh_users
        bind = getattr(type(users), "__get__", None)
        return users if bind is None else bind(users, instance, owner)


def starter(kind: type) -> "Starter":
    """The class, ready to be started with the options it was decorated with."""
    from .starting import Starter

    return Starter(kind, getattr(kind, MARK))
