"""One turn of the core: the state, the commands given so far, and what is left to do before it ends.

Owns the notes that handlers leave for the end of the turn. Never outlives an event in meaning: `core.py`
empties it. Read next: `workers.py`.
"""

from dataclasses import dataclass, field

from .commands import CancelTimer, Command, Notify, SetTimer
from .events import TaskSpec
from .ids import JobId, SessionId, TaskIndex
from .state import Session, State, Worker


@dataclass(slots=True)
class Turn:
    """What handlers work on."""

    state: State
    at: float = 0.0  # when the event at hand happened
    out: list[Command] = field(default_factory=list)
    growing: dict[tuple[SessionId, int], None] = field(default_factory=dict)  # may want more workers
    rested: list[Worker] = field(default_factory=list)  # task workers that became idle
    stalled: dict[SessionId, None] = field(default_factory=dict)  # may need mesh workers that are stopped
    tell: dict[SessionId, None] = field(default_factory=dict)  # whose mesh changed
    parted: dict[tuple[JobId, TaskIndex], None] = field(default_factory=dict)  # tasks whose own jobs end
    over: dict[JobId, None] = field(default_factory=dict)  # abandoned jobs that are finished
    kept: TaskSpec | None = None  # what is kept free for who is first in line, while slots are given out
    stands: bool = False  # that has been found out just now: nothing else of its session is tried by the way
    again: bool = False  # while workers were ordered, something was settled that lets others be served
    bereft: bool = False  # a detached actor ended: their session may have nothing left to live for
    ended: bool = False  # a session or a worker went: the hub may have nothing left to live for

    def set_timer(self, timer: str, delay: float) -> None:
        """Order a wake-up call."""
        self.state.timers.add(timer)
        self.out.append(SetTimer(timer, delay))

    def cancel_timer(self, timer: str) -> None:
        """Take the order back, if there is one."""
        if timer in self.state.timers:
            self.state.timers.remove(timer)
            self.out.append(CancelTimer(timer))

    def notify(self, session: Session, text: str) -> None:
        """Say a line to the person at the notebook."""
        self.out.append(Notify(session.id, text))
