"""Handles: what `Model.start()` and `cm.get_actor()` return.

Owns attribute access, `h.method(x)`, and how a handle travels to tasks and other actors. Never sends by
itself. Read next: `caller.py`, `future.py`.
"""

import difflib
from collections.abc import Callable, Iterable, Sized
from typing import Any

from cellmesh.kernel import attaching, packing
from cellmesh.scheduler.objects.members import Members
from cellmesh.scheduler.wire.actors import ActorInfo

from .caller import Caller
from .directory import directory_of
from .errors import died
from .future import ActorFuture
from .mapped import MethodResults
from .pending import Kind
from .streams import FIRST_ROOM, Flow, Stream


class Handle:
    """An actor, wherever it lives.

    h.generate("hello")          # a Future
    h.generate("hello").result()
    h.stop()
    """

    def __init__(self, caller: Caller, known: Members | None = None, *, ends: bool = False) -> None:
        self._caller = caller
        self._known = known
        self._life = directory_of(caller.session).life(caller.info.id, ends=ends)

    def stop(self) -> None:
        """End the actor: its process ends, and gives back what it held. Calls that wait fail."""
        self._caller.end("was stopped")

    def __getattr__(self, name: str) -> "Method":
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        known = self._known
        if known is None or self._caller.met is not None:
            met = self._caller.meet()
            known = Members(tuple(met.methods), tuple(met.streams))
        if name not in known.methods:
            close = difflib.get_close_matches(name, known.methods, n=1, cutoff=0.6)
            hint = (
                f"; did you mean {close[0]}?" if close else f" (it has {', '.join(known.methods) or 'none'})"
            )
            raise AttributeError(f"{self._caller.title} has no method {name!r}{hint}", name=name, obj=None)
        return Method(self, name, streams=name in known.streams)

    def __dir__(self) -> list[str]:
        known = self._known
        if self._caller.met is not None:
            known = Members(tuple(self._caller.met.methods))
        return sorted({"stop", *(known.methods if known is not None else ())})

    def __repr__(self) -> str:
        info = self._caller.info
        name = f" {info.name!r}" if info.name else ""
        where = f", process {info.pid}" if info.pid and info.state == "alive" else ""
        gpus = f", GPU {', '.join(info.gpus)}" if info.gpus else ""
        why = f": {info.why.splitlines()[0]}" if info.why and info.state in ("waiting", "ended") else ""
        return f"<cellmesh actor {info.title}{name}: {info.state}{where}{gpus}{why}>"

    def __reduce__(self) -> Any:
        self._life.keep()
        return restored, (self._caller.info, self._known)


class Method:
    """A method of an actor."""

    def __init__(self, handle: Handle, name: str, *, streams: bool) -> None:
        self._handle = handle
        self._name = name
        self._streams = streams

    @property
    def title(self) -> str:
        """How people call it: `llm.generate`."""
        return f"{self._handle._caller.title}.{self._name}"

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
        return MethodResults(self._handle._caller, f"{self.title}.map", rows, self)

    def _send(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        kind: Kind,
        taker: Callable[[Caller, int, str], Any],
        room: int = 0,
    ) -> Any:
        handle, title = self._handle, self.title
        caller = handle._caller
        prefix = caller.session.check().engine.object_prefix()
        try:
            packed = packing.pack((args, kwargs), prefix)
        except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
            given = [(f"argument {i} of `{title}`", part) for i, part in enumerate(args, start=1)]
            given += [(f"argument `{name}` of `{title}`", part) for name, part in kwargs.items()]
            raise packing.explained(error, given) from None
        return caller.call(
            self._name, packed, lambda number: taker(caller, number, title), kind, room, handle._life
        )

    def __repr__(self) -> str:
        return f"<cellmesh method {self.title}>"


def restored(info: ActorInfo, known: Members | None) -> Handle:
    """A handle that has travelled: the actor is found where it is now."""
    session = attaching.current()
    answer = session.engine.actors.find("", info.id)
    if answer.actor is None:
        raise died(info, info.name or info.title)
    return Handle(directory_of(session).caller(answer.actor), known)
