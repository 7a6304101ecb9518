"""The actors that this process knows, by id: their callers, and who still refers to them.

Owns the session's one `Directory`. Never asks anybody: the engine tells it. Read next: `caller.py`,
`starting.py`.
"""

import sys
import threading
from functools import partial
from itertools import count
from weakref import WeakValueDictionary

from msgspec.structs import replace

from cellmesh.kernel import cells
from cellmesh.kernel.outputs import Speaker
from cellmesh.kernel.session import Session
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import Output
from cellmesh.scheduler.worker import lending

from .caller import Caller
from .future import ActorFuture
from .pending import Pending
from .roads import Roads
from .unattended import Unattended

_serials = count(1)


class Life:
    """Lives as long as something here refers to the actor; an unnamed one that we started ends with it."""

    def __init__(self, directory: "Directory", actor: int, *, ends: bool) -> None:
        self._directory = directory
        self._actor = actor
        self._ends = ends
        self.serial = next(_serials)

    def keep(self) -> None:
        """Others refer to it now, and nobody counts these: it ends with this kernel."""
        if self._ends and lending.parent() is not None:  # this process may end before the others do
            self._directory.session.engine.actors.keep(self._actor)
        self._ends = False

    def __del__(self) -> None:
        # May run anywhere, also inside the engine's own code: only note it; the session tells later.
        session = self._directory.session
        if self._ends and not (session.dying or session.closed):
            session.later.append(partial(self._directory.drop, self._actor, self.serial))
            session.engine.nudge()


class Directory:
    """Made by `directory_of`."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._callers: dict[int, Caller] = {}
        self._infos: dict[int, ActorInfo] = {}
        self._lives: WeakValueDictionary[int, Life] = WeakValueDictionary()
        self._roads: Roads | None = None
        self._unattended = Unattended(session)
        self._lock = threading.RLock()
        session.hooks.on_stop.append(self.stop)
        session.on_close.append(self.close)

    def caller(self, info: ActorInfo) -> Caller:
        """This process as a caller of that actor."""
        with self._lock:
            info = self._infos.setdefault(info.id, info)
            caller = self._callers.get(info.id)
            if caller is None:
                caller = self._callers[info.id] = Caller(self, info)
                caller.on_info(info)
            return caller

    def follow(self, info: ActorInfo) -> Caller:
        """As `caller`, of an actor of which somebody else has told us."""
        with self._lock:
            known = info.id in self._callers
            caller = self.caller(info)
        if not known:
            self.session.engine.actors.follow(info.id)
        return caller

    def life(self, actor: int, *, ends: bool = False) -> Life:
        """Hold this to refer to the actor. `ends`: it is ours, and has no name."""
        with self._lock:
            life = self._lives.get(actor)
            if life is None:
                life = self._lives[actor] = Life(self, actor, ends=ends)
            return life

    def roads(self) -> Roads:
        """The connections of this process."""
        with self._lock:
            if self._roads is None:
                self._roads = Roads(self.session.notices.internal_error)
            return self._roads

    def on_info(self, info: ActorInfo) -> None:
        """From the engine's thread: something about it changed."""
        with self._lock:
            self._infos[info.id] = info
            caller = self._callers.get(info.id)
        if caller is None:
            return
        caller.on_info(info)
        if info.state == "ended":  # handles have the caller; nobody else needs it any more
            self._callers.pop(info.id, None)
            self._infos.pop(info.id, None)

    def lose(self) -> None:
        """The engine is gone, and with it all actors."""
        for caller in list(self._callers.values()):
            caller.on_info(replace(caller.info, state="ended", why="is gone, as its hub has ended"))

    def drop(self, actor: int, serial: int) -> None:
        """Nothing refers to it any more, unless somebody has begun to again."""
        life = self._lives.get(actor)
        if life is None or life.serial == serial:  # the latter while it is still being collected
            self.session.engine.actors.end(actor, "ended, as nothing referred to it any more")

    def failed(self, taker: object) -> None:
        """A call has failed; somebody may ask for its result, or not."""
        if isinstance(taker, ActorFuture):
            self._unattended.failed(taker)

    def said(self, caller: Caller, pending: Pending | None, output: Output) -> None:
        """A call printed or displayed something: it goes to the cell that made it."""
        if lending.place() is not None:
            if output.kind in ("stdout", "stderr"):
                print(output.text, end="", file=sys.stdout if output.kind == "stdout" else sys.stderr)
            return
        if pending is None and output.kind == "note":  # about itself, as that it cannot be checkpointed
            self.session.notices.say(f"actor {caller.title}: {output.text}")
            return
        born = caller.starter or self.session.hooks.current  # what the class prints as the object is made
        cell = born if pending is None else pending.taker.cell
        router = self.session.router
        router.take(Speaker(caller.info.id, caller.title, cell), output)
        router.flush()

    def stop(self, cell: cells.Cell) -> None:
        """Stop was pressed in this cell: what it called is not wanted any more."""
        for caller in list(self._callers.values()):
            for taker in caller.those_of(cell):
                taker.stop() if isinstance(taker, ActorFuture) else taker.cancel()

    def close(self) -> None:
        """This process leaves the session."""
        for caller in list(self._callers.values()):
            caller.close()
        if self._roads is not None:
            self._roads.close()


def directory_of(session: Session) -> Directory:
    """The session's one `Directory`."""
    found = session.actors
    if found is None:
        found = session.actors = Directory(session)
    assert isinstance(found, Directory)
    return found
