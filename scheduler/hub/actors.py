"""What is asked of the hub about actors, and what it tells: starts, names, ends, who follows whom.

Owns the meaning of these messages and how the core's commands about actors are carried out. Never sees a
call: these go straight from caller to host. Read next: `lives.py`, `../core/actors.py`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cellmesh.scheduler.core import commands as cmd, events as ev
from cellmesh.scheduler.core.actor_events import (
    ActorEndAsked,
    ActorRenewed,
    ActorRequested,
    ActorSpec,
    ActorUp,
)
from cellmesh.scheduler.core.actors import DETACHED, nobody
from cellmesh.scheduler.core.ids import ActorId, ClientId, SessionId, WorkerId
from cellmesh.scheduler.core.tables import ActorState
from cellmesh.scheduler.objects.logbook import read_logs
from cellmesh.scheduler.wire import folders, messages as msg

from .lives import Life
from .store import SessionRecord

if TYPE_CHECKING:
    from .hub import Hub
    from .kernels import Client

LAST_LINES = 10
"""So many lines of its log are told when it has died."""

Asked = (
    msg.StartActor | msg.FindActor | msg.ListActors | msg.EndActor | msg.FollowActor | msg.RenewActor
    | msg.KeepActor | msg.AskRecipe
)  # fmt: skip


def take(hub: Hub, at: float, client: Client, message: Asked) -> None:
    """One message from a kernel, or from inside a task or an actor."""
    match message:
        case msg.StartActor():
            _start(hub, at, client, message)
        case msg.FindActor(request, name, actor):
            hub.peers.send(client.identity, _find(hub, client, request, name, ActorId(actor)))
        case msg.ListActors(request):
            found = [info(hub, actor) for actor in of_sessions(hub, client.session, DETACHED)]
            hub.peers.send(client.identity, msg.Actors(request, found))
        case msg.EndActor(actor, why):
            if _may_have(hub, client, ActorId(actor)):
                hub.feed(ActorEndAsked(at, ActorId(actor), why or "was stopped"))
        case msg.FollowActor(actor, follow):
            _follow(hub, client, ActorId(actor), follow)
        case msg.KeepActor(actor):
            if ActorId(actor) in hub.lives.kept:
                hub.lives.kept[ActorId(actor)].opener = None
        case msg.AskRecipe(request, actor):
            recipe = msg.Recipe(request, None)
            if _may_have(hub, client, ActorId(actor)):
                life = hub.lives.kept[ActorId(actor)]
                recipe = msg.Recipe(request, life.start, life.kind)
            hub.peers.send(client.identity, recipe)
        case msg.RenewActor(actor, blob, same):
            kind = hub.store.sessions[client.session].blobs.kept.get(blob)
            if kind is not None and _may_have(hub, client, ActorId(actor)):
                hub.lives.renew(ActorId(actor), kind, blob, same)
                hub.feed(ActorRenewed(at, ActorId(actor), same))


def _start(hub: Hub, at: float, client: Client, start: msg.StartActor) -> None:
    actor, options = ActorId(start.actor), start.options
    kind = hub.store.sessions[client.session].blobs.kept[start.blob]
    ended = hub.lives.ended.get(actor)
    if ended is not None:  # the first answer died with a hub
        hub.peers.send(client.identity, msg.ActorAnswer(start.request, ended, fresh=True))
        return
    own = DETACHED if options.detached else client.session
    context, surroundings, template = _setting(hub, client)
    if own not in hub.store.sessions:
        there = hub.store.sessions[own] = SessionRecord(hub.orders.logs(own), template=template)
        there.context = context
        there.blobs.put("", context, surroundings)
    if actor not in hub.lives.kept:
        starter = hub.core.state.sessions[client.session].name
        home = str(folders.actor_home(hub.orders.data, actor))
        life = Life(start, own, kind, context, surroundings, template, starter, hub.wall, home)
        life.opener = client.id if _is_task(hub, client) and not (start.name or options.detached) else None
        hub.lives.add(actor, life)
    gpus, cpus = round(options.gpus * ev.ONE), round(options.cpus * ev.ONE)
    spec = ActorSpec(gpus, cpus, options.memory, options.restarts, options.detached)
    hub.feed(
        ActorRequested(
            at, client.id, start.request, client.session, actor, start.name, start.title, start.same, spec,
            start.replace, start.lives, start.deaths,
        )
    )  # fmt: skip
    if actor not in hub.core.state.actors:
        hub.lives.drop(actor)  # another one lives, or it was refused
    if own not in hub.core.state.sessions:
        hub.store.forget_session(own)


def _setting(hub: Hub, client: Client) -> tuple[str, msg.Payload, str]:
    """The surroundings that the client runs under, and the template for those: an actor brings its own."""
    worker = None if client.worker is None else hub.core.state.workers[client.worker]
    if worker is not None and worker.actor in hub.lives.kept:
        life = hub.lives.kept[worker.actor]
        return life.context, life.surroundings, life.template
    record = hub.store.sessions[client.session]
    return record.context, record.blobs.kept[record.context], record.template


def context_for(hub: Hub, client: Client) -> str:
    """Digest of the surroundings for what a detached actor submits: its own. "" for all other clients.

    Their session has as many surroundings as openers.
    """
    worker = None if client.worker is None else hub.core.state.workers.get(client.worker)
    life = None if worker is None or worker.actor is None else hub.lives.kept.get(worker.actor)
    if life is None or life.session != DETACHED:
        return ""
    hub.store.sessions[DETACHED].blobs.put(client.owner, life.context, life.surroundings)
    return life.context


def _is_task(hub: Hub, client: Client) -> bool:
    """Whether this is the process of tasks; those of actors come back, with the handles that they had."""
    return client.worker is not None and hub.core.state.workers[client.worker].actor is None


def task_gone(hub: Hub, at: float, client: ClientId) -> None:
    """The process of a task has ended, and with it the handles of what it had started."""
    for actor in hub.lives.opened_by(client):
        why = "ended with the process of the task that had started it, as it has no name"
        hub.feed(ActorEndAsked(at, actor, why))


def _find(hub: Hub, client: Client, request: int, name: str, actor: ActorId) -> msg.ActorAnswer:
    state = hub.core.state
    found: ActorId | None = actor
    if name:
        own = state.names.get((client.session, name))
        found = own if own is not None else state.names.get((DETACHED, name))
    if found is not None and found in state.actors:
        hub.lives.kept[found].followers.add(client.id)
        return msg.ActorAnswer(request, info(hub, found))
    if name:
        return msg.ActorAnswer(request, None, _none_of_name(hub, client, name))
    ended = hub.lives.ended.get(actor)
    return msg.ActorAnswer(request, ended, ended.why if ended else "is not known any more: its session ended")


def _none_of_name(hub: Hub, client: Client, name: str) -> str:
    for ended in reversed(list(hub.lives.ended.values())):
        if ended.name == name and ended.session in (client.session, DETACHED):
            return f'The actor "{name}" {ended.why}'
    living = hub.core.state.names
    sessions = hub.core.state.sessions
    elsewhere = [sessions[session].name for session, known in living if known == name and session in sessions]
    if elsewhere:
        return (
            f'The actor "{name}" lives in another session, of {elsewhere[0]}, and only there. '
            "Start it with detached=True for all your notebooks to find it."
        )
    return nobody(name, (actor for session, actor in living if session in (client.session, DETACHED)))


def _follow(hub: Hub, client: Client, actor: ActorId, follow: bool) -> None:
    life = hub.lives.kept.get(actor)
    if not follow:
        if life is not None:
            life.followers.discard(client.id)
    elif life is not None and actor in hub.core.state.actors:
        life.followers.add(client.id)
        hub.peers.send(client.identity, msg.ActorState(info(hub, actor)))
    else:
        unknown = msg.ActorInfo(actor, "", "", "", "ended", why="is not known any more: its session ended")
        hub.peers.send(client.identity, msg.ActorState(hub.lives.ended.get(actor, unknown)))


def _may_have(hub: Hub, client: Client, actor: ActorId) -> bool:
    known = hub.core.state.actors.get(actor)
    return known is not None and known.session in (client.session, DETACHED)


def came_up(hub: Hub, at: float, worker: WorkerId, up: msg.ActorUp) -> None:
    """Its process answers calls, or could not make it."""
    actor = hub.core.state.actors.get(ActorId(up.actor))
    if actor is None or actor.worker != worker:
        return
    life = hub.lives.kept[actor.id]
    life.address, life.failure, life.incarnation = up.address, up.failure, up.incarnation
    hub.feed(ActorUp(at, worker, actor.id, up.incarnation, bool(up.failure)))


def saved(hub: Hub, message: msg.ActorSaved) -> None:
    """There is a checkpoint in its home: who follows it may want to keep a copy."""
    life = hub.lives.kept.get(ActorId(message.actor))
    if life is not None and ActorId(message.actor) in hub.core.state.actors:
        life.saved = message.at
        for follower in life.followers:
            _say(hub, follower, msg.ActorState(info(hub, ActorId(message.actor))))


def process_gone(hub: Hub, actor: ActorId, peak: int) -> None:
    """A process of it has ended: take down its socket, and what it said last.

    Its own alone: while a journal is replayed, earlier lives end again and the last one's socket is in use.
    """
    known = hub.core.state.actors.get(actor)
    lives = "*" if known is None else str(known.incarnation)
    for path in folders.hub_folder(hub.name).glob(f"a{actor:x}-{lives}"):
        path.unlink(missing_ok=True)
    life = hub.lives.kept.get(actor)
    if life is not None:
        life.address = ""
        life.last_words = f" (peak memory {peak / 1e6:,.0f} MB)" if peak else ""
        said = read_logs(hub.orders.logs(life.session), f"a{actor}", tail=LAST_LINES)
        lines = "".join(record.text for record in said).splitlines()
        if lines:
            life.last_words += ". It said last:\n" + "\n".join(f"    {line}" for line in lines)


def carry_out(hub: Hub, command: cmd.AnswerActor | cmd.HostActor | cmd.TellActor | cmd.ForgetActor) -> None:
    """Do what the core said. While the journal is replayed nothing is told to anybody."""
    match command:
        case cmd.AnswerActor(client_id, request, actor, why, fresh):
            client = hub.clients.by_id.get(client_id)
            if client is not None:
                there = None
                if actor is not None:
                    hub.lives.kept[actor].followers.add(client_id)
                    there = info(hub, actor)
                _say(hub, client_id, msg.ActorAnswer(request, there, why, fresh))
        case cmd.HostActor(worker, actor, incarnation):
            _host(hub, worker, actor, incarnation)
        case cmd.TellActor(actor, state, why):
            life = hub.lives.kept[actor]
            if state is ActorState.ENDED:
                at = time.strftime("%H:%M:%S", time.localtime(hub.wall))
                told = _info(life, actor, state.value, why=f"{why} at {at}{life.last_words}")
                hub.lives.end(actor, told)
            elif actor in hub.core.state.actors:
                told = info(hub, actor)
            else:
                return  # it ended in the same turn
            for follower in life.followers:
                _say(hub, follower, msg.ActorState(told))
        case cmd.ForgetActor(actor):
            life = hub.lives.kept[actor]
            hub.lives.drop(actor)
            shutil.rmtree(life.home, ignore_errors=True)
            hub.orders.keep_templates(hub)


def _say(hub: Hub, client: ClientId, message: msg.Wire) -> None:
    known = hub.clients.by_id.get(client)
    if known is not None and not hub.orders.replaying:
        hub.peers.send(known.identity, message)


def _host(hub: Hub, worker: WorkerId, actor: ActorId, incarnation: int) -> None:
    peer = hub.peers.get(b"w%d" % worker)
    if peer is None or hub.orders.replaying:
        return  # it died this moment; its loss is on its way
    life = hub.lives.kept[actor]
    Path(life.home).mkdir(mode=0o700, parents=True, exist_ok=True)
    start = life.start
    for digest, data in ((start.blob, life.kind), (life.context, life.surroundings)):
        peer.known.add(digest)
        hub.peers.send(peer.identity, msg.Blob(digest, data))
    order = msg.HostActor(
        actor, incarnation, start.name, start.blob, start.payload, start.options, life.context, life.home
    )
    hub.peers.send(peer.identity, order)


def of_sessions(hub: Hub, *sessions: SessionId) -> list[ActorId]:
    """The living ones."""
    return [actor.id for actor in hub.core.state.actors.values() if actor.session in sessions]


def info(hub: Hub, actor_id: ActorId) -> msg.ActorInfo:
    """How a living one is."""
    actor = hub.core.state.actors[actor_id]
    worker = None if actor.worker is None else hub.core.state.workers[actor.worker]
    told = _info(hub.lives.kept[actor_id], actor_id, actor.state.value, why=actor.why)
    return msgspec.structs.replace(
        told,
        incarnation=actor.incarnation,
        pid=0 if worker is None else hub.orders.pool.pids.get(worker.id, 0),
        gpus=[] if worker is None else list(worker.gpus),
    )


def _info(life: Life, actor: ActorId, state: str, why: str) -> msg.ActorInfo:
    return msg.ActorInfo(
        id=actor,
        name=life.start.name,
        title=life.start.title,
        session=life.session,
        state=state,  # type: ignore[arg-type]  # the core's names are the wire's
        incarnation=life.incarnation,
        address=life.address if state == "alive" else "",
        why=why,
        starter=life.starter,
        cell=life.start.cell,
        opened=life.opened,
        options=life.start.options,
        failure=life.failure,
        same=life.start.same,
        saved=life.saved,
    )
