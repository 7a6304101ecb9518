"""The actors of a Dask cluster: who lives, under which name, on which host. Runs in Dask's scheduler.

Owns all decisions about actors, one after the other in the scheduler's one thread: so two notebooks that
start the same name get one actor, and one whose host is lost goes on elsewhere, whether its notebook is there
or not.
Never sees a call, never loads what users send. Read next: `known.py` (its records), `placing.py`,
`hosting.py` (its words to workers), `worker/lodging.py` (their end).
"""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec
from distributed.diagnostics.plugin import SchedulerPlugin
from msgspec.structs import replace

from cellmesh.scheduler.core.actors import nobody, taken
from cellmesh.scheduler.engines.dask.between.lodge import LIVES, NEWS, Copy, Found, Wanted
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import PROTOCOL

from . import placing
from .hosting import Hosting
from .known import DETACHED, Actor, Book, blank
from .listening import Listening

_encode = msgspec.msgpack.Encoder().encode


class Registry(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Of one Dask scheduler."""

    name = f"cellmesh-registry-{PROTOCOL}"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Dask calls this in its scheduler."""
        self._scheduler = scheduler
        self._book = Book()
        self._listening = Listening(scheduler, self.kernel_gone)
        self._hosting = Hosting(scheduler, self)
        scheduler.handlers[LIVES] = self._asked
        scheduler.handlers[NEWS] = self._listening.listen
        scheduler.stream_handlers[LIVES] = self._told

    # --- what notebooks ask ---------------------------------------------------------------------------

    def _asked(self, what: str, **about: Any) -> Any:
        match what:
            case "start":
                return _encode(self._start(msgspec.msgpack.decode(about["wanted"], type=Wanted)))
            case "find":
                return _encode(self._find(**about))
            case "all":
                session = about["session"]
                found = [each for each in self._book.living.values() if each.owner in (session, DETACHED)]
                return _encode([Found(each.info, each.worker) for each in found])
            case "recipe":
                actor = self._book.living.get(about["actor"])
                return None if actor is None else _encode((actor.start, actor.kind))
            case "renew":
                self._renew(**about)
            case "end":
                if (known := self._book.living.get(about["actor"])) is not None:
                    self.end(known, about["why"])
            case "room":
                return self._hosting.stores.keeper(about["actor"])
            case "place":
                self._hosting.place(**about)
            case "reset":
                self.session_over(about["session"], about["why"])
            case "leave":
                self.kernel_gone(about["kernel"])
        return None

    def _start(self, wanted: Wanted) -> Found:
        start, book = wanted.start, self._book
        owner = DETACHED if start.options.detached else wanted.session
        known = book.living.get(start.actor)
        if known is not None:
            return Found(known.info, known.worker, fresh=True)  # asked again
        living = book.named(owner, start.name)
        if living is not None and not start.replace:
            if living.info.same != start.same:
                return Found(None, why=taken(start.name))
            living.followers.add(wanted.session)
            return Found(living.info, living.worker)
        never = placing.never(self._hosting.rooms(), start.options)
        if never:
            return Found(None, why=never)
        if living is not None:
            self.end(living, "was replaced")
        actor = Actor(wanted, owner, blank(wanted, owner))
        book.add(actor)
        self._hosting.serve()
        return Found(actor.info, actor.worker, fresh=True)

    def _find(self, *, session: str, name: str, actor: int) -> Found:
        book = self._book
        found = book.named(session, name) or book.named(DETACHED, name) if name else book.living.get(actor)
        if found is not None:
            found.followers.add(session)
            return Found(found.info, found.worker)
        if not name:
            ended = book.ended.get(actor)
            return Found(ended, why=ended.why if ended else "is not known any more: its session ended")
        before = [
            info for info in book.ended.values() if info.name == name and info.session in (session, DETACHED)
        ]
        if before:
            return Found(None, why=f'The actor "{name}" {before[-1].why}')
        elsewhere = [each.wanted.session_name for each in book.living.values() if each.start.name == name]
        if elsewhere:
            why = f'The actor "{name}" lives in another session, of {elsewhere[0]}, and only there. '
            return Found(None, why=f"{why}Start it with detached=True for all your notebooks to find it.")
        return Found(None, why=nobody(name, book.names(session)))

    def _renew(self, *, actor: int, kind: bytes, blob: str, same: str) -> None:
        known = self._book.living.get(actor)
        if known is not None:
            known.kind, known.start = kind, replace(known.start, blob=blob, same=same)
            known.info = replace(known.info, same=same)
            self._hosting.order(known, "renew", kind=kind, blob=blob, same=same)

    # --- what is told ---------------------------------------------------------------------------------

    def _told(self, what: str, actor: int, client: str = "", worker: str = "", **about: Any) -> None:
        """A word of a notebook, or of a Dask worker that hosts this actor."""
        try:
            if what == "said":  # of an actor that its hub does not name
                self._listening.notice((about["owner"],), about["text"])
                return
            known = self._book.living.get(actor)
            if worker:
                if known is not None and known.serial == about.pop("serial"):
                    getattr(self, f"_{what}")(known, **about)
            elif known is not None:
                getattr(self, f"_notebook_{what}")(known, **about)
            elif what == "follow":
                self._listening.tell((about["session"],), Found(self._book.gone(actor)))
        except Exception:  # an exception would end the stream that it came from
            logging.getLogger(__name__).exception("cellmesh could not note %r of actor %x", what, actor)

    def _notebook_end(self, actor: Actor, *, why: str) -> None:
        self.end(actor, why)

    def _notebook_follow(self, actor: Actor, *, session: str, follow: bool) -> None:
        if not follow:
            actor.followers.discard(session)
            return
        actor.followers.add(session)
        self._listening.tell((session,), Found(actor.info, actor.worker))

    def _state(self, actor: Actor, *, info: bytes, host: str) -> None:
        """The hub there says how it is."""
        told = msgspec.msgpack.decode(info, type=ActorInfo)
        self.change(actor, told, host)

    def _waits(self, actor: Actor, *, why: str) -> None:
        self.change(actor, replace(actor.info, state="waiting", why=why))

    def _over(self, actor: Actor, *, why: str, info: bytes) -> None:
        """It has ended there, and not because its host did."""
        told = msgspec.msgpack.decode(info, type=ActorInfo) if info else None
        self.ended(actor, actor.why_ends or why, told)

    def _lost(self, actor: Actor) -> None:
        self._hosting.lost(actor, f"its hub on {actor.info.host} has ended")

    def _kept(self, actor: Actor, *, copy: bytes) -> None:
        """There is a copy of its checkpoint."""
        self._hosting.stores.kept(actor, msgspec.msgpack.decode(copy, type=Copy))

    def _note(self, actor: Actor, *, text: str) -> None:
        self.notice(actor, text)

    # --- lives ----------------------------------------------------------------------------------------

    def change(self, actor: Actor, told: ActorInfo, host: str | None = None) -> None:
        """It is so from now on."""
        actor.info = replace(
            actor.info,
            state=told.state,
            address=told.address,
            incarnation=max(told.incarnation, actor.info.incarnation),
            pid=told.pid,
            gpus=told.gpus,
            why=told.why,
            saved=told.saved or actor.info.saved,
            host=actor.info.host if host is None else host,
        )
        self._listening.tell(actor.followers, Found(actor.info, actor.worker))

    def end(self, actor: Actor, why: str) -> None:
        """It is not wanted any more."""
        self._book.free_name(actor)
        actor.why_ends = why
        if actor.worker:
            self._hosting.order(actor, "end", why=why)
        else:
            self.ended(actor, why)

    def ended(self, actor: Actor, why: str, told: ActorInfo | None = None) -> None:
        """It is no more, and nothing of it is left."""
        if told is None:
            at = time.strftime("%H:%M:%S")
            told = replace(actor.info, state="ended", address="", pid=0, gpus=[], why=f"{why} at {at}")
        info = replace(
            actor.info, state="ended", address="", pid=0, gpus=[], why=told.why, failure=told.failure,
            incarnation=max(told.incarnation, actor.info.incarnation),
        )  # fmt: skip
        self._book.end(actor, info)
        self._listening.tell(actor.followers, Found(info))
        self._hosting.left(actor)

    def notice(self, actor: Actor, text: str) -> None:
        """Whoever has to do with it is told."""
        self._listening.notice(actor.followers, f"{actor.label}: {text}")

    # --- sessions -------------------------------------------------------------------------------------

    def kernel_gone(self, kernel: str) -> None:
        """Those that have no name end with the kernel that started them."""
        for actor in self._book.of_kernel(kernel):
            self.end(actor, "ended with its kernel, as it has no name")

    def session_over(self, session: str, why: str = "ended with its session") -> None:
        """All of the session end."""
        for actor in [each for each in self._book.living.values() if each.owner == session]:
            self.end(actor, why)

    # --- what happens in Dask -------------------------------------------------------------------------

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """There is more room."""
        self._hosting.serve()

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """All that lived beside it goes on elsewhere."""
        self._hosting.worker_gone(worker)

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:
        """An adaptive cluster that shrinks keeps the workers beside which actors live."""
        taken = {actor.worker for actor in self._book.living.values()}
        return [ws for ws in workers if ws.address not in taken]

    def log_event(self, topic: str, msg: Any) -> None:
        """Dask's scheduler notes something: a worker that begins to close is asked for its actors."""
        if isinstance(msg, dict) and msg.get("action") == "worker-status-change":
            self._hosting.worker_changes(topic, msg["status"])

    @property
    def book(self) -> Book:
        """Who lives."""
        return self._book
