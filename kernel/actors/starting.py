"""`Model.start(...)`, `cm.get_actor(...)` and `cm.actors()`.

Owns what is checked before an actor is asked for. Never waits until it is alive: calls do. Read next:
`handle.py`, `digest.py`, `options.py`.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cellmesh.kernel import attaching, options as calls, packing
from cellmesh.kernel.session import Session
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.objects.members import members_of
from cellmesh.scheduler.wire.actors import StartActor
from cellmesh.scheduler.wire.messages import Payload, Ref

from . import digest, listing, options
from .directory import directory_of
from .handle import Handle
from .pool import Pool

_PARTS = ("the class", "the arguments", "the options")
"""What the digest of a start tells apart (`digest.same`)."""


class Starter:
    """A class and how its objects shall live: what `Model.options(...)` returns."""

    def __init__(self, kind: type, chosen: dict[str, Any]) -> None:
        self.kind = kind
        self.chosen = chosen

    def options(self, **changes: Any) -> "Starter":
        """The same class with other options: `Model.options(gpus=1).start()`."""
        return Starter(self.kind, {**options.left(self.chosen, changes), **options.checked(changes)})

    def start(self, *args: Any, kwargs: Mapping[str, Any] | None = None, **given: Any) -> Any:
        """Start one, with these arguments of its `__init__`, and return a handle.

        Options are the keywords of `@cm.actor`, `replace=True` (end the living one of that name first) and
        `replicas=4` (several, behind one handle).
        Arguments of the class that are named like an option go into kwargs={}.
        Without a name it ends with its last handle; once a task or an actor was given one, with the kernel.
        """
        named = {name: value for name, value in given.items() if name in options.STARTING}
        more = {name: value for name, value in given.items() if name not in named}
        chosen = {**options.left(self.chosen, named), **options.checked(named, options.STARTING)}
        options.check_together(chosen)
        options.check_named(chosen)
        replace = chosen.pop("replace", False)
        if kwargs is not None:
            calls.add_named(more, kwargs)
        options.check_arguments(self.kind, args, more)
        replicas = chosen.pop("replicas", None)
        session = attaching.current()
        if replicas is None:
            return _start(session, self.kind, args, more, chosen, replace=replace)
        name = chosen.get("name", "")

        def make(number: int) -> Handle:
            own = {**chosen, "name": f"{name}/{number}"} if name else chosen
            return _start(session, self.kind, args, more, own, replace=replace)

        handles = [make(number) for number in range(replicas)]
        return Pool(name or calls.title_of(self.kind), handles, make)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.kind(*args, **kwargs)

    def __repr__(self) -> str:
        told = options.text(self.chosen)
        return f"<cellmesh actor class {self.kind.__qualname__}{': ' if told else ''}{told}>"


def _start(
    session: Session,
    kind: type,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    chosen: dict[str, Any],
    *,
    replace: bool,
) -> Handle:
    title = calls.title_of(kind)
    name = chosen.get("name", "")
    prefix = session.engine.object_prefix()
    try:
        packed = packing.pack(kind, prefix)
        arguments = packing.pack((args, kwargs), prefix, lasts=True)  # it may be started again
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
        parts = [(f"the class {title}", kind)]
        parts += [(f"argument {i} of {title}.start", part) for i, part in enumerate(args, start=1)]
        parts += [(f"argument `{word}` of {title}.start", part) for word, part in kwargs.items()]
        raise packing.explained(error, parts) from None
    ours = [packed, arguments]  # whose segments nobody else has yet
    wanted: StartActor | None = None
    try:
        for future in (*packed.waits, *arguments.waits):  # there is no object before they are there
            future.result()
        session.refresh_context()
        blob = session.put_blob(packed.finish(prefix))
        ours.remove(packed)
        cell = session.hooks.current
        wanted = StartActor(
            request=0,
            actor=session.engine.new_job_id(),
            name=name,
            title=title,
            same=digest.same(kind, args, kwargs, chosen) if name else "",
            blob=blob,
            payload=arguments.finish(prefix),
            options=options.wire(chosen),
            cell=cell.label if cell is not None else "",
            replace=replace,
        )
        answer = session.engine.actors.start(wanted)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and wanted is not None:  # it lives, maybe, without a handle
            with suppress(EngineError):
                session.engine.actors.end(wanted.actor, "was not wanted, as its start was stopped")
        else:
            _free(*(each.payload for each in ours))
        raise
    if not answer.fresh:
        _free(wanted.payload)
    if answer.actor is None:
        lacks = answer.why.startswith("needs ")
        differs = _what_differs(session, wanted)
        raise EngineError(
            f"{title} {answer.why}." if lacks else f"{answer.why[:1].upper()}{answer.why[1:]}.{differs}"
        )
    caller = directory_of(session).caller(answer.actor)
    if answer.fresh:
        caller.own()
        hidden = [name for name in ("stop", "checkpoint") if name in members_of(kind).methods]
        if hidden:
            yours = " and ".join(f'h["{name}"](...)' for name in hidden)
            session.notices.say(f"{title}: {yours} calls the class's own; h.{hidden[0]}() is cellmesh's")
    return Handle(caller, members_of(kind), ends=not name and not wanted.options.detached, kind=kind)


def _what_differs(session: Session, wanted: StartActor) -> str:
    """From the living one of that name, if that is why it was refused."""
    living = session.engine.actors.find(wanted.name).actor if wanted.name else None
    if living is None:
        return ""
    parts = zip(_PARTS, living.same.split("-"), wanted.same.split("-"), strict=False)
    told = [part for part, theirs, ours in parts if theirs != ours]
    return f" (What differs: {', '.join(told)}.)" if told else ""


def _free(*payloads: Payload | None) -> None:
    """Nobody will read these."""
    makers.freed([payload.name for payload in payloads if isinstance(payload, Ref)])


def get_actor(name: str) -> Any:
    """The living actor of this name: of this notebook, or a detached one."""
    if not isinstance(name, str) or not name:
        raise TypeError(f'cm.get_actor({name!r}): its name, as it was started: cm.get_actor("llm").')
    session = attaching.current()
    answer = session.engine.actors.find(name)
    directory = directory_of(session)
    if answer.actor is not None:
        return Handle(directory.caller(answer.actor))
    replicas = listing.replicas(session, name)
    if not replicas:
        raise EngineError(answer.why)
    return Pool(name, [Handle(directory.caller(info)) for info in replicas], None)
