"""The processes of actors: who gets one, what it holds, and what its end means.

An actor's process holds devices, cores and memory for as long as it lives, and never runs tasks. Actors that
wait are served before tasks: the first of them whose devices are free gathers cores and memory as these come
free, lest a stream of small tasks keep it out for ever; one gathers at a time, so that no two wait for each
other. A process that dies is replaced while the actor has restarts left.

Owns `State.homeless` and what each actor has of cores and memory. Never sees a call. Read next: `actors.py`.
"""

from collections.abc import Callable

from .actor_events import ActorUp
from .amounts import gigabytes, some
from .commands import ForgetActor, HostActor, KillWorker, StartWorker, StopWorker, TellActor
from .devices import choose, free_shares, hold, holders
from .ids import ActorId, WorkerId
from .state import Actor, Session, State, Worker
from .tables import ActorState, WorkerState
from .transitions import become, shift
from .turn import Turn
from .workers import bury, write_off

ENDING_SECONDS = 2.0  # so long may a process take to end by itself
LEAVING_SECONDS = 30.0  # and so long if it was told to end (SIGTERM): it keeps its state for the next one


def place(turn: Turn) -> None:
    """Give processes to actors that have none, so far as there is room."""
    state = turn.state
    gathering = False
    for actor_id in list(state.homeless):
        actor = state.actors[actor_id]
        session = state.sessions[actor.session]
        devices = _devices(state, actor)
        if devices is None:
            give_back(state, session, actor)
            state.gpu_waiting[session.id] = None
            _wait(turn, actor, _who_has_devices)
            continue
        if gathering:
            give_back(state, session, actor)
        else:
            _gather(state, session, actor)
        if _lacks(actor):
            gathering = True
            _wait(turn, actor, _who_has_cores)
            continue
        del state.homeless[actor_id]
        _launch(turn, session, actor, devices)


def shortage(state: State, session: Session) -> list[int]:
    """The shares of GPUs that actors of the session wait for."""
    own = [actor for each in state.homeless if (actor := state.actors[each]).session == session.id]
    return [actor.spec.gpus for actor in own if _devices(state, actor) is None]


def _devices(state: State, actor: Actor) -> tuple[str, ...] | None:
    return choose(free_shares(state), actor.spec.gpus) if actor.spec.gpus else ()


def _wait(turn: Turn, actor: Actor, what: Callable[[State, Actor], tuple[str, str]]) -> None:
    """Tell what it waits for and who holds that: once, and again when others do as somebody is gone."""
    if actor.why and not turn.ended:
        return
    lacks, names = what(turn.state, actor)
    why = f"waiting for {lacks}, held by {names}" if names else f"waiting for {lacks}"
    if actor.why != why:
        actor.why = why
        turn.out.append(TellActor(actor.id, actor.state, why))


def _who_has_devices(state: State, actor: Actor) -> tuple[str, str]:
    return some(actor.spec.gpus, "GPU"), holders(state)


def _launch(turn: Turn, session: Session, actor: Actor, devices: tuple[str, ...]) -> None:
    state = turn.state
    worker = Worker(WorkerId(state.next_worker), session.id, None, devices, actor.spec.gpus, actor=actor.id)
    state.next_worker += 1
    state.workers[worker.id] = worker
    hold(state, worker)
    become(actor, ActorState.STARTING)
    actor.worker = worker.id
    actor.incarnation += 1
    if actor.why or actor.incarnation > 1:  # else its starter's answer says so
        actor.why = ""
        turn.out.append(TellActor(actor.id, actor.state))
    turn.out.append(StartWorker(worker.id, session.id, None, devices, actor.id))


# --- cores and memory ------------------------------------------------------------------------------


def _lacks(actor: Actor) -> bool:
    return actor.cpus < actor.spec.cpus or actor.memory < actor.spec.memory


def _gather(state: State, session: Session, actor: Actor) -> None:
    """Take what is free of what it lacks."""
    cpus = min(actor.spec.cpus - actor.cpus, max(0, state.cpus - state.slots_used))
    memory = min(actor.spec.memory - actor.memory, max(0, state.memory - state.memory_used))
    _add(state, session, actor, cpus, memory)


def give_back(state: State, session: Session, actor: Actor) -> None:
    """Free what it has."""
    _add(state, session, actor, -actor.cpus, -actor.memory)


def _add(state: State, session: Session, actor: Actor, cpus: int, memory: int) -> None:
    actor.cpus += cpus
    actor.memory += memory
    state.slots_used += cpus
    state.memory_used += memory
    session.running += cpus
    session.hosting += cpus


def _who_has_cores(state: State, actor: Actor) -> tuple[str, str]:
    """Or memory, if it is only that."""
    cpus = actor.cpus < actor.spec.cpus
    what = some(actor.spec.cpus, "core") if cpus else f"{gigabytes(actor.spec.memory)} of memory"
    names = {other.name for other in state.sessions.values() if other.running > other.hosting}
    for other in state.actors.values():
        if other is not actor and (other.cpus if cpus else other.memory):
            names.add(other.label)
    return what, ", ".join(sorted(names))


# --- what processes say and what becomes of them ---------------------------------------------------


def host_ready(turn: Turn, worker: Worker, hosting: tuple[ActorId, int] | None) -> None:
    """Its first hello, or the one after the hub's death: the order to be the actor may have died with it."""
    assert worker.actor is not None
    shift(worker, WorkerState.BUSY)
    worker.greeted = worker.proven = True
    actor = turn.state.actors[worker.actor]
    if hosting != (actor.id, actor.incarnation):
        turn.out.append(HostActor(worker.id, actor.id, actor.incarnation))


def actor_up(turn: Turn, event: ActorUp) -> None:
    """The object is made and answers calls; or it cannot be made, which is not tried again."""
    state = turn.state
    worker, actor = state.workers.get(event.worker), state.actors.get(event.actor)
    if worker is None or actor is None or actor.worker != worker.id:
        return
    if worker.state is WorkerState.ENDING or actor.state is not ActorState.STARTING:
        return
    if event.failed:
        end_actor(turn, actor, "could not be brought back" if actor.incarnation > 1 else "could not be made")
        return
    become(actor, ActorState.ALIVE)
    turn.out.append(TellActor(actor.id, actor.state))


def lose_host(turn: Turn, worker: Worker, why: str, *, refused: bool = False) -> None:
    """Its exit has been seen: the actor gets another process, or has ended.

    One that was refused, as another hub holds its device, was no process: it counts as no death.
    """
    state = turn.state
    assert worker.actor is not None
    if worker.state is not WorkerState.ENDING:
        write_off(turn, worker)
    bury(turn, worker)
    actor = state.actors.get(worker.actor)
    if actor is None:
        turn.out.append(ForgetActor(worker.actor))
        return
    actor.worker = None
    session = state.sessions[actor.session]
    if refused:
        actor.incarnation -= 1
        become(actor, ActorState.RESTARTING if actor.incarnation else ActorState.WAITING)
        state.homeless = {actor.id: None, **state.homeless}
        return
    if not worker.draining:
        actor.deaths += 1
    if actor.deaths > actor.spec.restarts:
        why += f" (the last of {actor.deaths} deaths)" if actor.deaths > 1 else ""
        turn.notify(session, f"{actor.label} {why}")
        end_actor(turn, actor, why)
        return
    left = actor.spec.restarts - actor.deaths
    turn.notify(session, f"{actor.label} {why}; it restarts ({left} more of its restarts left)")
    become(actor, ActorState.RESTARTING)
    state.homeless = {actor.id: None, **state.homeless}
    turn.out.append(TellActor(actor.id, actor.state, why))


def host_drains(turn: Turn, worker: Worker) -> None:
    """It was told to end (SIGTERM): it keeps its state and ends, and the actor goes on in another process."""
    assert worker.actor is not None
    actor = turn.state.actors[worker.actor]
    if actor.spec.restarts:
        _end_host(turn, worker, LEAVING_SECONDS)
    else:
        end_actor(turn, actor, "was told to end (SIGTERM)")


def is_leaving(state: State, worker: Worker) -> bool:
    """Whether it is on its way out with the state for its successor, which must not be lost."""
    return worker.draining and worker.actor in state.actors


def let_leave(turn: Turn, worker: Worker) -> None:
    """The hub was away: what it was told may have died with that."""
    turn.out.append(StopWorker(worker.id))
    turn.set_timer(f"ending:{worker.id}", LEAVING_SECONDS)


def host_paused(turn: Turn, worker: Worker) -> None:
    """Somebody stopped it (SIGSTOP). It has state that only it has: it is waited for, however long."""
    assert worker.actor is not None
    actor = turn.state.actors[worker.actor]
    turn.notify(
        turn.state.sessions[actor.session],
        f"{actor.label} was stopped (SIGSTOP)" if worker.paused else f"{actor.label} goes on (SIGCONT)",
    )


def end_actor(turn: Turn, actor: Actor, why: str) -> None:
    """It ends, and with it its process; `why` is for people, after its name ("was stopped")."""
    state = turn.state
    become(actor, ActorState.ENDED)
    give_back(state, state.sessions[actor.session], actor)
    state.homeless.pop(actor.id, None)
    if actor.name:
        del state.names[actor.session, actor.name]
    del state.actors[actor.id]
    turn.bereft = turn.bereft or actor.spec.detached
    turn.out.append(TellActor(actor.id, ActorState.ENDED, why))
    if actor.worker is None:
        turn.out.append(ForgetActor(actor.id))
    else:
        _end_host(turn, state.workers[actor.worker], ENDING_SECONDS)


def _end_host(turn: Turn, worker: Worker, seconds: float) -> None:
    """Let it end by itself, for so long; one that cannot hear is killed."""
    if worker.state is WorkerState.ENDING:
        return
    kill = worker.state is not WorkerState.BUSY or worker.paused
    write_off(turn, worker)
    if kill:
        turn.out.append(KillWorker(worker.id))
    else:
        turn.out.append(StopWorker(worker.id))
        turn.set_timer(f"ending:{worker.id}", seconds)
