"""How this process becomes attached to an engine, and leaves it.

Owns the one session of the process and what happens at its exit. Never launches work.
Read next: `identity.py`, `session.py`.
"""

import atexit
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellmesh.scheduler.engines.contract import (
    Engine,
    EngineError,
    HubGoneError,
    SessionBusyError,
    SessionSpec,
    VersionMismatchError,
)
from cellmesh.scheduler.worker import lending

from . import showing
from .session import Session
from .sink import SessionSink

if TYPE_CHECKING:
    from . import identity

ENGINE = "CELLMESH_ENGINE"
ATTEMPTS = 3  # a hub may end between being found and being attached to
_OF_DASK = ("checkpoints", "insecure", "security")
_session: Session | None = None


def attached() -> Session | None:
    """The attached session, if there is one."""
    if (inside := lending.inside()) is not None:
        known: Session | None = inside.session
        return known
    return _session if _session is not None and not _session.closed and not _session.lost else None


def current() -> Session:
    """The attached session; attaches by itself on first use."""
    if (inside := lending.inside()) is not None:
        known: Session = inside.attached(_open_in_thread)
        return known.check()
    session = attached()
    lost = _session if session is None and _session is not None and _session.lost else None
    if lost is not None and lost.engine.name != os.environ.get(ENGINE, "embedded"):
        raise EngineError(lost.lost)  # what was asked for is not silently replaced by something else
    if session is None and lending.place() is not None:
        return _keep(_open_inside())
    if session is None and lending.serves():  # no hub is started where nobody would see what it runs
        raise EngineError(
            "This code runs in a Dask worker, but not in the thread of a task of cellmesh. Call cm.submit in "
            "that thread, or launch what calls it in a process of its own: cm.submit(..., isolate=True)."
        )
    if session is None or (session.pid != os.getpid() and os.environ.get(ENGINE) == "inline"):
        return connect(os.environ.get(ENGINE, "embedded"))
    return session.check()


def connect(engine: str | Engine = "embedded", where: Any = None, **options: Any) -> Session:
    """Attach to an engine, leaving the one before (its mesh and results stay there for the grace time).

    `where` and the options say which cluster, for "dask".
    """
    if engine == "dask":
        engine = _on_dask(where, options)  # before the one that is there is left
    elif where is not None or options:
        raise EngineError(f'cm.connect({engine!r}) takes no address and no options; those are for "dask".')
    elif isinstance(engine, str) and engine not in ("embedded", "inline"):
        raise EngineError(
            f'There is no engine "{engine}"; use "embedded" (this machine), "inline" (this process) or '
            '"dask".'
        )
    elif not isinstance(engine, str | Engine):
        raise EngineError(f'cm.connect({engine!r}): to which engine? "embedded", "inline" or "dask".')
    before = attached()
    if before is not None and before.pid == os.getpid():
        same = before.engine.name == (engine if isinstance(engine, str) else engine.name)
        if same and isinstance(engine, str):
            return before
        before.close(end_session=before.spec.grace == 0)
        try:
            return _keep(_open(engine))
        except EngineError as error:
            error.add_note(
                f"The {before.engine.name} engine was left before: connect to where you want to be."
            )
            raise
    return _keep(_open(engine))


def _keep(session: Session) -> Session:
    global _session
    showing.install()
    if _session is None:
        # Last registered, first run: before IPython clears the namespace, so that nothing is claimed by that.
        atexit.register(_at_exit)
    if _session is not None and _session.lost:
        _session.close(end_session=False)
    _session = session
    for note in session.survivors.notes:
        session.notices.say(note)
    return session


def _at_exit() -> None:
    session = attached()
    if session is None or session.pid != os.getpid():
        return
    if session.watcher is not None:
        from .unattended import Watcher

        assert isinstance(session.watcher, Watcher)
        session.watcher.script_ends()
    session.dying = True
    session.close(end_session=session.spec.grace == 0)


def _open(engine: str | Engine) -> Session:
    from . import identity

    if isinstance(engine, Engine):
        key, name, grace = identity.own_session()
        return _attach(engine, SessionSpec(key, name, grace, identity.interpreter()))
    if engine == "inline":
        from cellmesh.scheduler.engines.inline import InlineEngine

        return _attach(InlineEngine(), SessionSpec("inline", "inline", 0.0, identity.interpreter()))
    return _open_embedded()


def _on_dask(where: Any, options: dict[str, Any]) -> Engine:
    unknown = [name for name in options if name not in _OF_DASK]
    if unknown:
        raise EngineError(f'cm.connect("dask") has no option {unknown[0]!r}; it has {", ".join(_OF_DASK)}.')
    try:
        from cellmesh.scheduler.engines.dask.connecting import engine_on
    except ModuleNotFoundError as error:
        if error.name not in ("dask", "distributed"):
            raise
        raise EngineError("Dask is not installed here. Run: pip install 'cellmesh[dask]'") from None
    return engine_on(where, **options)


def _open_inside() -> Session:
    """A task submits tasks: as a second client of its worker's session."""
    from cellmesh.scheduler.engines.embedded import EmbeddedEngine

    from . import identity

    place = lending.place()
    assert place is not None
    engine = EmbeddedEngine(place.folder, worker=place.worker)
    session = _attach(engine, SessionSpec("", "a task", 0.0, identity.interpreter()))
    lending.at_end(session.hooks.task_ends)
    return session


def _open_in_thread(engine: Engine, key: str) -> lending.Opened:
    """Tasks in a process that is no worker of ours submit tasks: these have a session of their own."""
    from . import identity

    session = _attach(engine, SessionSpec(key, "tasks", 0.0, identity.interpreter()))
    return lending.Opened(session, session.hooks.task_ends, partial(session.close, end_session=True))


def _open_embedded() -> Session:
    from cellmesh.scheduler.nursery.start import HubStartError
    from cellmesh.scheduler.wire.folders import FolderError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _find_and_attach()
        except (FolderError, HubStartError) as error:
            raise EngineError(str(error)) from None
        except HubGoneError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _find_and_attach() -> Session:
    from . import identity

    found = identity.find()
    try:
        return _attach_embedded(found)
    except VersionMismatchError:
        return _attach_embedded(identity.find_own())


def _attach_embedded(found: "identity.Identity") -> Session:
    from . import identity

    try:
        session = _attach(_embedded(found.folder), found.spec())
    except SessionBusyError:
        # A second living kernel of the same notebook: it works, alone.
        found = identity.for_this_process(found)
        session = _attach(_embedded(found.folder), found.spec())
    for note in found.notes:
        session.notices.say(note)
    return session


def _embedded(folder: Path) -> Engine:
    from cellmesh.scheduler.engines.embedded import EmbeddedEngine

    return EmbeddedEngine(folder)


def _attach(engine: Engine, spec: SessionSpec) -> Session:
    session = Session(engine)
    try:
        session.opened(spec, engine.open(spec, SessionSink(session)))
    except BaseException:
        session.hooks.detach()
        raise
    return session
