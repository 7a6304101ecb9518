"""Where tasks, workers and actors can stand, and how that may change.

Owns the states and the table of legal transitions; the drawing in docs/ is made from it. Never decides
anything. Read next: `transitions.py`.
"""

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task stands; the last five are the ends."""

    # Enum hashes by a Python-level call; the tables are asked several times an event.
    __hash__ = str.__hash__

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"  # interrupted, has not yielded yet
    DONE = "done"
    FAILED = "failed"  # user code raised
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"  # its run took longer than it may; it is not retried
    LOST = "lost"  # its worker died and its retries are spent, or it can never run


class WorkerState(StrEnum):
    """Where a worker process stands."""

    __hash__ = str.__hash__

    STARTING = "starting"  # its hello is awaited: the first one, or the one after the hub's death
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"  # told to stop or killed; its exit has not been seen yet


class ActorState(StrEnum):
    """Where an actor stands; it is forgotten when it has ended."""

    __hash__ = str.__hash__

    WAITING = "waiting"  # for devices, cores or memory
    STARTING = "starting"  # it has a process, which does not answer calls yet
    ALIVE = "alive"
    RESTARTING = "restarting"  # its process died; it gets another one as soon as there is room for that
    ENDED = "ended"


TASK_TRANSITIONS: frozenset[tuple[TaskState, TaskState]] = frozenset(
    {
        (TaskState.QUEUED, TaskState.RUNNING),
        (TaskState.QUEUED, TaskState.CANCELLED),
        (TaskState.QUEUED, TaskState.LOST),
        (TaskState.RUNNING, TaskState.DONE),
        (TaskState.RUNNING, TaskState.FAILED),
        (TaskState.RUNNING, TaskState.CANCELLED),
        (TaskState.RUNNING, TaskState.STOPPING),
        (TaskState.RUNNING, TaskState.QUEUED),
        (TaskState.RUNNING, TaskState.LOST),
        (TaskState.STOPPING, TaskState.DONE),
        (TaskState.STOPPING, TaskState.FAILED),
        (TaskState.STOPPING, TaskState.CANCELLED),
        (TaskState.STOPPING, TaskState.TIMED_OUT),
    }
)

WORKER_TRANSITIONS: frozenset[tuple[WorkerState, WorkerState]] = frozenset(
    {
        (WorkerState.STARTING, WorkerState.IDLE),
        (WorkerState.STARTING, WorkerState.BUSY),  # rejoined after the hub's death, still running
        (WorkerState.STARTING, WorkerState.ENDING),
        (WorkerState.IDLE, WorkerState.BUSY),
        (WorkerState.IDLE, WorkerState.STARTING),  # the hub came back; waiting for its hello
        (WorkerState.BUSY, WorkerState.STARTING),
        (WorkerState.IDLE, WorkerState.ENDING),
        (WorkerState.BUSY, WorkerState.IDLE),
        (WorkerState.BUSY, WorkerState.ENDING),
    }
)

ACTOR_TRANSITIONS: frozenset[tuple[ActorState, ActorState]] = frozenset(
    {
        (ActorState.WAITING, ActorState.STARTING),
        (ActorState.WAITING, ActorState.ENDED),
        (ActorState.STARTING, ActorState.ALIVE),
        (ActorState.STARTING, ActorState.WAITING),  # another hub holds its device
        (ActorState.STARTING, ActorState.RESTARTING),
        (ActorState.STARTING, ActorState.ENDED),
        (ActorState.ALIVE, ActorState.RESTARTING),
        (ActorState.ALIVE, ActorState.ENDED),
        (ActorState.RESTARTING, ActorState.STARTING),
        (ActorState.RESTARTING, ActorState.ENDED),
    }
)

TERMINAL = frozenset(
    {TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.TIMED_OUT, TaskState.LOST}
)
