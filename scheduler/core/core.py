"""The only door to the scheduler's state: an event goes in, commands come out.

Owns the dispatch of events and the order of a turn: the event's handler first, then placement, then what
is told to people. Never touches the world, never fails on what a client or a worker sends late, twice or
out of order. Read next: `placement.py` for the policy, `invariants.py` for what always holds.
"""

from collections.abc import Callable
from typing import Any, get_args

from . import events as e
from .actor_events import ActorEndAsked, ActorRenewed, ActorRequested, ActorUp
from .actors import actor_end_asked, actor_renewed, actor_requested
from .arrivals import hub_recovered, hub_started, timer_fired, worker_lost, worker_ready
from .commands import Command, EndHub, TellMesh
from .hosts import actor_up
from .jobs import (
    cancel_requested,
    forget_over,
    job_opened,
    jobs_abandoned,
    results_claimed,
    tasks_submitted,
)
from .mesh import mesh_requested
from .nesting import end_children, task_waiting
from .outside import worker_draining, worker_paused
from .placement import settle_turn
from .reports import items_reported
from .sessions import client_lost, end_detached, session_attached, session_ended, session_reset
from .state import State
from .turn import Turn

# A dict by type, not `match`: `match` tries the classes one after the other on every event.
_HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
    e.HubStarted: hub_started,
    e.SessionAttached: session_attached,
    e.ClientLost: client_lost,
    e.SessionEnded: session_ended,
    e.MeshRequested: mesh_requested,
    e.SessionReset: session_reset,
    e.JobOpened: job_opened,
    e.TasksSubmitted: tasks_submitted,
    e.CancelRequested: cancel_requested,
    e.ResultsClaimed: results_claimed,
    e.JobsAbandoned: jobs_abandoned,
    e.WorkerReady: worker_ready,
    e.WorkerLost: worker_lost,
    e.ItemsReported: items_reported,
    e.WorkerPaused: worker_paused,
    e.WorkerDraining: worker_draining,
    e.TaskWaiting: task_waiting,
    e.TimerFired: timer_fired,
    e.HubRecovered: hub_recovered,
    ActorRequested: actor_requested,
    ActorUp: actor_up,
    ActorEndAsked: actor_end_asked,
    ActorRenewed: actor_renewed,
}
assert set(_HANDLERS) == set(get_args(e.Event)), "an event without a handler"


class Core:
    """The scheduler's mind. `state` is for reading; only `handle` (and `restore`) change it."""

    def __init__(self) -> None:
        self.state = State()
        self._turn = Turn(self.state)  # kept, so that an event does not pay for making it

    def restore(self, state: State) -> None:
        """Go on from a state that an earlier core led to."""
        self.state = state
        self._turn = Turn(state)

    def handle(self, event: e.Event) -> list[Command]:
        """Take a fact; return what is to be done, in order."""
        turn = self._turn
        out = turn.out = []
        turn.at = event.at
        try:
            _HANDLERS[type(event)](turn, event)
            if turn.parted:
                end_children(turn)
            if turn.bereft:
                turn.bereft = False
                end_detached(turn)
            settle_turn(turn)
            if turn.over:
                forget_over(turn)
        except BaseException:  # a mistake of ours: what was left to do must not spoil the next turn
            self._turn = Turn(self.state)
            raise
        if turn.tell:
            out.extend(TellMesh(session) for session in turn.tell)
            turn.tell.clear()
        if turn.ended:
            turn.ended = False
            if not self.state.sessions and not self.state.workers:
                out.append(EndHub())
        return out
