"""A method of an actor, or of one of several: `h.generate`.

Owns what a call is pickled into. Never chooses an actor: its target does. Read next: `handle.py`, `pool.py`,
`caller.py`.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Sized
from typing import TYPE_CHECKING, Any, Protocol

from cellmesh.kernel import packing
from cellmesh.scheduler.objects.members import Members, member

from .caller import Caller
from .future import ActorFuture
from .mapped import MethodResults
from .pending import Kind
from .streams import FIRST_ROOM, Flow, Stream

if TYPE_CHECKING:
    from .directory import Life


class Single:
    """One actor, and that it lives: what its methods hold on to, and not the handle, which holds them."""

    def __init__(self, caller: Caller, life: "Life", kind: type | None) -> None:
        self._caller = caller
        self._life = life
        self._kind = kind

    @property
    def _title(self) -> str:
        return self._caller.title

    @property
    def _window(self) -> int | None:
        return None

    def _pick(self) -> "Single":
        return self


class Target(Protocol):
    """What has methods: an actor, or several as one."""

    @property
    def _title(self) -> str: ...

    @property
    def _window(self) -> int | None:
        """How many calls of a map are made before some are answered; None: all."""

    @property
    def _kind(self) -> type | None:
        """The class of its objects, if that is here."""

    def _pick(self) -> Single:
        """The actor for the next call."""


class Method:
    """A method of an actor."""

    def __init__(self, target: Target, name: str, known: Members) -> None:
        self.title = f"{target._title}.{name}"  # how people call it: `llm.generate`
        self._target = target
        self._name = name
        self._known = known
        self._streams = name in known.streams

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._streams:
            return Stream(self._send(args, kwargs, "stream", Flow, FIRST_ROOM))
        return self._send(args, kwargs, "call", ActorFuture)

    def map(self, *iterables: Iterable[Any]) -> MethodResults:
        """Call it with the items of these, as the built-in `map` does; returns their results on their way."""
        if not iterables:
            raise TypeError(f"{self.title}.map needs something to iterate over: {self.title}.map(xs).")
        if self._streams:
            raise TypeError(f"{self.title} is a generator, which cannot be mapped: call it for each item.")
        rows: Any = zip(*iterables, strict=False)
        if all(isinstance(iterable, Sized) for iterable in iterables):
            rows = list(rows)
        return MethodResults(
            self._target._pick()._caller, f"{self.title}.map", rows, self, self._target._window
        )

    def _send(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        kind: Kind,
        taker: Callable[[Caller, int, str], Any],
        room: int = 0,
    ) -> Any:
        actor, title = self._target._pick(), self.title
        caller = actor._caller
        caller.session.check()
        try:
            packed = packing.plain((args, kwargs))
            if packed is None:
                packed = packing.pack((args, kwargs), caller.prefix, stays=True)
        except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
            given = [(f"argument {i} of `{title}`", part) for i, part in enumerate(args, start=1)]
            given += [(f"argument `{name}` of `{title}`", part) for name, part in kwargs.items()]
            raise packing.explained(error, given) from None
        return caller.call(
            self._name, packed, lambda number: taker(caller, number, title), kind, room, actor._life
        )

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # what `h.method?` shows
        return inspect.getdoc(self._function())

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self._function())
        static = inspect.getattr_static(self._target._kind, self._name, None)
        if isinstance(static, staticmethod | classmethod):
            return signature
        return signature.replace(parameters=list(signature.parameters.values())[1:])  # without self

    def _function(self) -> Any:
        found = member(self._target._kind or type(None), self._name)
        return Method.__call__ if found is None else found

    def __repr__(self) -> str:
        return f"<cellmesh method {self.title}>"


def called(target: Target, known: Members) -> Method:
    """What `h(...)` calls, if objects of the class can be called."""
    if "__call__" not in known.methods:
        raise TypeError(f"{target._title} cannot be called: its class has no __call__.")
    return Method(target, "__call__", known)


def method_of(target: Target, known: Members, name: str) -> Method:
    """The method of this name; an AttributeError names the near one."""
    if name not in known.methods:
        public = [method for method in known.methods if method != "__call__"]
        close = difflib.get_close_matches(name, public, n=1, cutoff=0.6)
        there = ", ".join(public) or "none"
        if isinstance(inspect.getattr_static(target._kind, name, None), property):
            raise AttributeError(
                f"{name!r} of {target._title} is a property, and an actor has methods alone: "
                "make it one, or read it in a cell, %%distributed --actor NAME.",
                name=name,
                obj=None,
            )
        hint = f"; did you mean {close[0]}?" if close else f" (it has {there})"
        raise AttributeError(f"{target._title} has no method {name!r}{hint}", name=name, obj=None)
    return Method(target, name, known)
