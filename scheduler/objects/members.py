"""What of a class can be called from outside: its public methods, and what is said about them.

Owns that list, for the actor's process and for who calls it. Never makes an object. Read next:
`cellmesh/kernel/actors/handle.py`, `cellmesh/scheduler/worker/host/living.py`.
"""

import inspect
from dataclasses import dataclass
from typing import Any

RETRY = "__cellmesh_retry__"
BATCH = "__cellmesh_batch__"
USERS = "cellmesh_users"
"""Of a class attribute of ours: what the class itself has by that name, in a tuple; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Members:
    """Names of methods; those that are generators; those that may run twice."""

    methods: tuple[str, ...]
    streams: tuple[str, ...] = ()
    retry: tuple[str, ...] = ()


def members_of(kind: type) -> Members:
    """Of a class.

    >>> class Counter:
    ...     def add(self): ...
    ...     def count(self): yield 1
    >>> members_of(Counter)
    Members(methods=('add', 'count'), streams=('count',), retry=())
    """
    found = {name: member(kind, name) for name in dir(kind) if not name.startswith("_")}
    if type(kind).__call__ is type.__call__ and hasattr(kind, "__call__"):  # noqa: B004 - of its objects
        own = inspect.getattr_static(kind, "__call__", None)
        if inspect.isfunction(own):
            found["__call__"] = own
    called = {name: inspect.unwrap(value) for name, value in found.items() if callable(value)}
    streams = [
        name
        for name, function in called.items()
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    ]
    retry = [name for name in called if getattr(found[name], RETRY, False)]
    return Members(tuple(called), tuple(streams), tuple(retry))


def member(kind: type, name: str) -> Any:
    """What objects of the class have by this name; None if nothing."""
    users = getattr(inspect.getattr_static(kind, name, None), USERS, None)
    if users is not None:
        return users[0] if users else None
    return getattr(kind, name, None)


def batch_of(kind: type, name: str) -> tuple[int, float] | None:
    """Of a method that takes many calls as one: how many at most, and the seconds to wait for them."""
    found: tuple[int, float] | None = getattr(member(kind, name), BATCH, None)
    return found
