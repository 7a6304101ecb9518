"""Telling a notebook that its work waits because others hold all cores.

Owns one timer a session, set when it has something to run and runs nothing, never one a task; each wait is
told once. Never gives out slots: `placement.py` does. Read next: `placement.py`.
"""

from .state import Session, State
from .turn import Turn

WAITING_SECONDS = 5.0  # shorter waits are not worth a line


def watch(turn: Turn, session: Session) -> None:
    """The session may have begun to wait."""
    if session.served == session.told_at or not _waits(turn.state, session):
        return
    timer = f"waiting:{session.id}"
    if timer not in turn.state.timers:
        turn.set_timer(timer, WAITING_SECONDS)


def tell(turn: Turn, session: Session) -> None:
    """Its time has passed: say who holds the cores, if it still waits."""
    state = turn.state
    if not _waits(state, session):
        return
    names = [o.name for o in state.sessions.values() if o.running > o.hosting and o is not session]
    names += [actor.label for actor in state.actors.values() if actor.cpus]
    if names:
        session.told_at = session.served
        turn.notify(session, f"waiting for a core, held by {', '.join(sorted(names))}")


def _waits(state: State, session: Session) -> bool:
    if session.running > session.hosting or state.slots_used < state.cpus:
        return False
    return (
        session.ready_mesh.live > 0
        or any(shape.waiting for shape in session.shapes.values())
        or any(queue.live for queue in session.ready_pinned.values())
    )
