"""`%mesh save` and `%mesh restore`: detached actors beyond the end of their hub.

Owns the folder of saved actors: each has what it was started with (`recipe`) and its state (`checkpoint`).
What was saved under a name is replaced as a whole. Never writes a state by itself: the actor does. Read next:
`starting.py`, `../../scheduler/worker/host/checkpoints.py`.
"""

import os
import shlex
import shutil
import tempfile
import urllib.parse
from pathlib import Path

import msgspec

from cellmesh.kernel.packing import Packed
from cellmesh.kernel.session import Session
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.objects import makers, segments
from cellmesh.scheduler.wire.actors import ActorInfo, StartActor
from cellmesh.scheduler.wire.messages import Payload

from .directory import directory_of
from .future import ActorFuture


class Part(msgspec.Struct, frozen=True):
    """A payload by itself: inline bytes, or what was in a segment (which readers may write to: `private`)."""

    data: bytes
    whole: bool = False
    private: bool = False


class Saved(msgspec.Struct, frozen=True):
    """All that a start needs, but for the state."""

    start: StartActor
    kind: Part
    arguments: Part


def folder() -> Path:
    """Where saved actors are, of all hubs of this user."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "cellmesh" / "actors"


def save(session: Session, name: str = "") -> list[str]:
    """Save the detached actor of this name, or all that have one; their names."""
    found = [info for info in session.engine.actors.all() if info.name and info.options.detached]
    if name:
        found = [info for info in found if info.name == name]
        if not found:
            raise EngineError(f'No detached actor named "{name}" lives; only those can be saved.')
    for info in found:
        _save(session, info)
    return [info.name for info in found]


def _save(session: Session, info: ActorInfo) -> None:
    lives = session.engine.actors
    recipe = lives.recipe(info.id)
    if recipe.start is None:
        raise EngineError(f'The actor "{info.name}" has just ended.')
    caller = directory_of(session).caller(info)
    title = f"%mesh save {info.name}"
    written: ActorFuture = caller.call(
        "", Packed(b""), lambda number: ActorFuture(caller, number, title), "save"
    )
    written.result()
    saved = Saved(recipe.start, _part(recipe.kind), _part(recipe.start.payload))
    where = folder()
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".", dir=where))
    try:
        shutil.copyfile(lives.home(info.id) / "checkpoint", fresh / "checkpoint")
        (fresh / "recipe").write_bytes(msgspec.msgpack.encode(saved))
        target = where / _file_name(info.name)
        if target.exists():
            target.rename(fresh / "before")  # a folder that is not empty cannot be renamed over
        fresh.rename(target)
        shutil.rmtree(target / "before", ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def restore(session: Session, name: str = "") -> list[str]:
    """Bring back what was saved under this name, or all that does not live; their names."""
    names = sorted(urllib.parse.unquote(path.parent.name) for path in folder().glob("*/recipe"))
    if name and name not in names:
        there = f" There are: {', '.join(names)}." if names else ""
        raise EngineError(f'No actor was saved as "{name}" in {folder()}.{there}')
    living = {info.name for info in session.engine.actors.all() if info.options.detached}
    if name in living:
        raise EngineError(f'A detached actor named "{name}" lives; %mesh free {shlex.quote(name)} ends it.')
    wanted = [name] if name else [each for each in names if each not in living]
    for each in wanted:
        _restore(session, folder() / _file_name(each))
    return wanted


def _restore(session: Session, source: Path) -> None:
    saved = msgspec.msgpack.decode((source / "recipe").read_bytes(), type=Saved)
    lives, prefix = session.engine.actors, session.engine.object_prefix()
    actor = session.engine.new_job_id()
    home = lives.home(actor)
    home.mkdir(mode=0o700, parents=True)
    try:
        shutil.copyfile(source / "checkpoint", home / "checkpoint")
        session.refresh_context()
        wanted = msgspec.structs.replace(
            saved.start,
            actor=actor,
            blob=session.put_blob(_payload(saved.kind, prefix)),
            payload=_payload(saved.arguments, prefix),
            replace=False,
        )
        answer = lives.start(wanted)
        if answer.actor is None:
            raise EngineError(answer.why)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def _part(payload: Payload) -> Part:
    if isinstance(payload, bytes):
        return Part(payload)
    private = segments.has_mark(payload.name, segments.PRIVATE)
    return Part(bytes(segments.view(payload)), whole=True, private=private)


def _payload(part: Part, prefix: str) -> Payload:
    return makers.write(prefix, [part.data], private=part.private) if part.whole else part.data


def _file_name(name: str) -> str:
    return urllib.parse.quote(name, safe=" ")
