"""What clients ask about actors' lives: to start one or find the living one of its name, to end it.

A name belongs to a session; detached actors, which outlive their sessions, have a session of their own, and
so have names of their own. A named start is safe to run again: equal class and arguments find the living
actor, others are refused. Unnamed actors end with the kernel of their session.

Owns names and those rules. Never touches processes: `hosts.py` does. Read next: `hosts.py`.
"""

import difflib
from collections.abc import Iterable

from .actor_events import ActorEndAsked, ActorRenewed, ActorRequested, ActorSpec
from .amounts import too_much
from .commands import AnswerActor
from .devices import device_count
from .events import TaskSpec
from .hosts import end_actor
from .ids import ActorId, SessionId
from .state import Actor, Session, State
from .turn import Turn

DETACHED = SessionId("*detached*")
"""The session of actors that outlive theirs. It has no kernel, and ends with the last of them."""


def actor_requested(turn: Turn, event: ActorRequested) -> None:
    """Start it, unless one of its name lives or it could never be given what it asks for."""
    state = turn.state
    if event.session not in state.sessions:
        return  # whoever asks is on its way out
    session = DETACHED if event.spec.detached else event.session
    living = state.names.get((session, event.name)) if event.name else None
    never = never_fits(state, event.spec)
    if event.actor in state.actors:
        _answer(turn, event, event.actor, "", fresh=True)  # asked again, of a hub that came back
    elif living is not None and not event.replace:
        same = state.actors[living].same == event.same
        _answer(turn, event, living if same else None, "" if same else taken(event.name))
    elif never:
        _answer(turn, event, None, never)
    else:
        if living is not None:
            end_actor(turn, state.actors[living], "was replaced")
        _begin(turn, event, session)


def _begin(turn: Turn, event: ActorRequested, session: SessionId) -> None:
    state = turn.state
    if session not in state.sessions:
        state.sessions[session] = Session(session, "detached actors", 0.0, None)
    actor = Actor(event.actor, event.name, event.title, session, event.spec, event.same)
    actor.incarnation, actor.deaths = event.lives, event.deaths
    state.actors[actor.id] = actor
    state.homeless[actor.id] = None
    if event.name:
        state.names[session, event.name] = actor.id
    _answer(turn, event, actor.id, "", fresh=True)


def _answer(
    turn: Turn, event: ActorRequested, actor: ActorId | None, why: str, *, fresh: bool = False
) -> None:
    turn.out.append(AnswerActor(event.client, event.request, actor, why, fresh))


def never_fits(state: State, spec: ActorSpec) -> str:
    """Why this machine can never have such an actor; empty if it can."""
    task = TaskSpec(0, gpus=spec.gpus, cpus=spec.cpus, memory=spec.memory)
    return too_much(task, state.cpus, state.memory, device_count(state), "an actor")


def taken(name: str) -> str:
    """Why another one of this name is not started; all engines say it so."""
    return (
        f'an actor named "{name}" lives already, of another class or with other arguments. '
        f"%mesh reload {name} moves it to the new code and keeps its state; start(..., replace=True) ends it "
        "and starts this one"
    )


def nobody(name: str, names: Iterable[str]) -> str:
    """What is said who looks for one of this name; `names` are those that live. All engines say it so."""
    known = sorted(set(names))
    near = difflib.get_close_matches(name, known, 1)
    hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(known)}." if known else ""
    return f'No actor named "{name}" lives in this session, and no detached one.{hint}'


def actor_end_asked(turn: Turn, event: ActorEndAsked) -> None:
    """End it, if it has not ended."""
    actor = turn.state.actors.get(event.actor)
    if actor is not None:
        end_actor(turn, actor, event.why)


def actor_renewed(turn: Turn, event: ActorRenewed) -> None:
    """From now on a start with this class and these arguments finds it."""
    actor = turn.state.actors.get(event.actor)
    if actor is not None:
        actor.same = event.same


def end_actors(turn: Turn, session: Session, why: str, *, unnamed: bool = False) -> None:
    """End those of the session (or only those without a name, whose kernel is gone)."""
    own = [actor for actor in turn.state.actors.values() if actor.session == session.id]
    for actor in own:
        if not (unnamed and actor.name):
            end_actor(turn, actor, why)


def end_misfits(turn: Turn) -> None:
    """The machine is another one now: end those that wait for what it has not."""
    for actor_id in list(turn.state.homeless):
        actor = turn.state.actors[actor_id]
        never = never_fits(turn.state, actor.spec)
        if never:
            end_actor(turn, actor, never)


def any_detached(state: State) -> bool:
    """Whether the detached session has something to live for."""
    return any(actor.spec.detached for actor in state.actors.values())
