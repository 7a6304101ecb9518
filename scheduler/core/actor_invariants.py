"""What must hold of actors and their processes after every event.

Never called in production. Read next: `invariants.py`, which calls it.
"""

from .actors import DETACHED
from .state import State
from .tables import ActorState, WorkerState

_HOUSED = (ActorState.STARTING, ActorState.ALIVE)


def check(state: State) -> None:
    """Raise AssertionError with the broken sentence."""
    for actor in state.actors.values():
        assert actor.session in state.sessions, f"actors belong to living sessions: {actor}"
        assert actor.state is not ActorState.ENDED, f"who has ended is forgotten: {actor}"
        assert (actor.worker is not None) == (actor.state in _HOUSED), f"who runs has a process: {actor}"
        assert (actor.id in state.homeless) == (actor.worker is None), f"who has none is to get one: {actor}"
        assert actor.deaths <= actor.spec.restarts, f"who has no restarts left has ended: {actor}"
        assert (actor.session == DETACHED) >= actor.spec.detached, f"detached ones are together: {actor}"
        if actor.worker is not None:
            worker = state.workers[actor.worker]
            assert worker.actor == actor.id, f"its process knows it: {actor}"
            assert worker.session == actor.session, f"processes belong to one session: {actor}"
            ending = worker.state is WorkerState.ENDING
            assert not ending or worker.draining or worker.reason, f"a host ends with its actor: {actor}"
        if actor.name:
            assert state.names[actor.session, actor.name] == actor.id, f"it is found by name: {actor}"
    for (session, name), actor_id in state.names.items():
        assert state.actors[actor_id].name == name, "names are of living actors"
        assert state.actors[actor_id].session == session, "in their sessions"
    assert set(state.homeless) <= set(state.actors), "only living actors wait"
    for worker in state.workers.values():
        if worker.actor is None:
            continue
        assert worker.number is None, f"hosts are no mesh workers: {worker}"
        assert worker.task is None, f"hosts run no tasks: {worker}"
        assert worker.state is not WorkerState.IDLE, f"hosts are never idle: {worker}"
        if worker.state is not WorkerState.ENDING:
            assert state.actors[worker.actor].worker == worker.id, f"its actor knows it: {worker}"
    detached = any(actor.spec.detached for actor in state.actors.values())
    assert (DETACHED in state.sessions) == detached, "their session lives as long as they do"
