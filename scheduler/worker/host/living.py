"""The living object, and what can be called on it.

Owns the object, its class and the names of its methods. Never runs a method. Read next: `calling.py`.
"""

import difflib
from collections.abc import Callable
from types import MethodType
from typing import Any

from cellmesh.scheduler.objects.members import batch_of, members_of
from cellmesh.scheduler.worker.outside import framed


class NoSuchMethodError(AttributeError):
    """The actor has no method of that name."""


class Living:
    """Set `object` once it is made."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.object: Any = None
        self.batches: dict[str, tuple[int, float]] = {}  # (most calls, seconds to wait), by method

    def become(self, thing: Any) -> None:
        """This is the object from now on."""
        self.object = thing
        kind = type(thing)
        self.batches = {
            name: marked for name in members_of(kind).methods if (marked := batch_of(kind, name)) is not None
        }

    def method(self, name: str) -> Callable[..., Any]:
        """What a call of this name runs; raises NoSuchMethodError."""
        if name.startswith("__") and name != "__call__":
            raise self._unknown(name)
        method = getattr(self.object, name, None)
        if type(method) is MethodType:
            return method
        if not callable(method):
            raise self._unknown(name)
        found: Callable[..., Any] = framed(method)
        return found

    def described(self) -> tuple[list[str], list[str], list[str]]:
        """Its methods; those that are generators; those that may run twice."""
        found = members_of(type(self.object))
        return list(found.methods), list(found.streams), list(found.retry)

    def _unknown(self, name: str) -> NoSuchMethodError:
        names = members_of(type(self.object)).methods
        near = difflib.get_close_matches(name, names, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(names) or 'none'}."
        return NoSuchMethodError(f"The actor's class {self.title} has no method {name!r}. {hint}")
