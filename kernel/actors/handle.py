"""Handles: what `Model.start()` and `cm.get_actor()` return.

Owns attribute access, `h.method(x)`, and how a handle travels to tasks and other actors. Never sends by
itself. Read next: `caller.py`, `future.py`.
"""

from typing import Any

from cellmesh.kernel import attaching
from cellmesh.kernel.packing import Packed
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.members import Members
from cellmesh.scheduler.wire.actors import ActorInfo

from .caller import Caller
from .directory import directory_of
from .errors import first_line, sealed
from .future import ActorFuture
from .method import Method, Single, called, method_of


class Handle:
    """An actor, wherever it lives.

    h.generate("hello")          # a Future
    h.generate("hello").result()
    h.stop()
    """

    def __init__(
        self,
        caller: Caller,
        known: Members | None = None,
        *,
        ends: bool = False,
        kind: type | None = None,
    ) -> None:
        self._caller = caller
        self._known = known
        self._life = directory_of(caller.session).life(caller.info.id, ends=ends)
        self._single = Single(caller, self._life, kind)
        self._methods: tuple[Members | None, dict[str, Method]] = None, {}  # those that were used

    def stop(self) -> None:
        """End the actor: its process ends, and gives back what it held. Calls that wait fail."""
        self._caller.end("was stopped")

    def checkpoint(self) -> ActorFuture:
        """Keep its state now, once the calls before are done: a Future of how many bytes that is."""
        caller, title = self._caller, f"{self._caller.title}.checkpoint"
        future: ActorFuture = caller.call(
            "", Packed(codec.dumps(None)), lambda number: ActorFuture(caller, number, title), "save"
        )
        return future

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        members = self._caller.members or self._members()
        known, methods = self._methods
        if members is not known:  # it was met just now, or its class was reloaded
            methods = {}
            self._methods = members, methods
        method = methods.get(name)
        if method is None:
            method = methods[name] = method_of(self._single, members, name)
        return method

    def __getitem__(self, name: str) -> Method:
        """A method whose name the handle itself has: `h["stop"]()`."""
        return method_of(self._single, self._members(), name)

    __iter__ = None  # it is no sequence of its methods

    def __copy__(self) -> "Handle":
        return self

    def __deepcopy__(self, memo: object) -> "Handle":
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise sealed(self._caller.info.name, f"A handle of {self._caller.title}", name, value)
        object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return called(self._single, self._members())(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other._caller.info.id == self._caller.info.id

    def __hash__(self) -> int:
        return hash(self._caller.info.id)

    def _members(self) -> Members:
        caller = self._caller
        return caller.members or self._known or caller.meet()

    def __dir__(self) -> list[str]:
        known = self._caller.members or self._known
        return sorted({"stop", "checkpoint", *(known.methods if known is not None else ())})

    def __repr__(self) -> str:
        info = self._caller.info
        name = f" {info.name!r}" if info.name else ""
        where = f", process {info.pid}" if info.pid and info.state == "alive" else ""
        gpus = f", GPU {', '.join(info.gpus)}" if info.gpus else ""
        why = f": {first_line(info)}" if info.why and info.state in ("waiting", "ended") else ""
        return f"<cellmesh actor {info.title}{name}: {info.state}{where}{gpus}{why}>"

    def __reduce__(self) -> Any:
        self._life.keep()
        caller = self._caller
        return restored, (caller.session.engine.actors.abroad(caller.info), self._known)


def restored(info: ActorInfo, known: Members | None) -> Handle:
    """A handle that has travelled. Nobody is waited for: any thread may load it, also the engine's."""
    return Handle(directory_of(attaching.current()).follow(info), known)
