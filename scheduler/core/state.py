"""What the core remembers: sessions, jobs, tasks, workers, and the table of legal transitions.

Owns the records and the table. Never decides anything: handlers in `core.py` do, and
`invariants.py` checks what must always hold. Read next: `core.py`.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from .events import Pool, TaskSpec
from .ids import Attempt, ClientId, JobId, SessionId, TaskIndex, WorkerId


class TaskState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"  # interrupted, has not yielded yet
    DONE = "done"
    FAILED = "failed"  # user code raised
    CANCELLED = "cancelled"
    LOST = "lost"  # its worker died and its retries are spent, or it can never run


class WorkerState(StrEnum):
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"  # told to stop or killed; its exit has not been seen yet


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

TERMINAL = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.LOST})


@dataclass(slots=True)
class Task:
    spec: TaskSpec
    job: JobId
    state: TaskState = TaskState.QUEUED
    attempt: Attempt = 0  # of the current or last dispatch
    deaths: int = 0  # workers that died under it
    worker: WorkerId | None = None  # while RUNNING or STOPPING
    reported: set[int] = field(default_factory=set)  # items delivered so far
    failed_items: int = 0


@dataclass(slots=True)
class Job:
    id: JobId
    number: int  # what people call it: 1, 2, 3 … within the session
    session: SessionId
    kind: str
    title: str
    background: bool
    stop_on_error: bool
    setup: bool
    tasks: dict[TaskIndex, Task] = field(default_factory=dict)
    sealed: bool = False  # no more tasks will come
    open_tasks: int = 0  # not yet terminal
    items: int = 0
    items_done: int = 0
    items_failed: int = 0
    cancelled: bool = False

    @property
    def finished(self) -> bool:
        return self.sealed and self.open_tasks == 0


@dataclass(slots=True)
class Worker:
    id: WorkerId
    session: SessionId
    number: int | None  # mesh number; None for a task worker
    gpus: tuple[str, ...]
    state: WorkerState = WorkerState.STARTING
    task: tuple[JobId, TaskIndex] | None = None
    fresh: bool = True  # has run nothing of the user's yet
    setup: deque[tuple[JobId, TaskIndex]] = field(default_factory=deque)  # setup tasks still to run
    retire: bool = False  # end it when its task is over


@dataclass(slots=True)
class Session:
    id: SessionId
    name: str
    grace: float
    client: ClientId | None  # None while orphaned
    mesh_size: int = 0
    mesh_gpus: int = 0
    mesh: dict[int, WorkerId] = field(default_factory=dict)
    jobs: dict[JobId, None] = field(default_factory=dict)  # in the order they were opened
    next_job_number: int = 1
    running: int = 0  # CPU slots it holds
    ready_pool: dict[int, deque[tuple[JobId, TaskIndex]]] = field(default_factory=dict)  # by GPUs
    ready_mesh: deque[tuple[JobId, TaskIndex]] = field(default_factory=deque)  # any mesh worker
    ready_pinned: dict[int, deque[tuple[JobId, TaskIndex]]] = field(default_factory=dict)
    setup_jobs: list[JobId] = field(default_factory=list)


@dataclass(slots=True)
class State:
    epoch: int = 0
    cpus: int = 1
    gpus: dict[str, WorkerId | None] = field(default_factory=dict)  # device -> holder
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    workers: dict[WorkerId, Worker] = field(default_factory=dict)
    slots_used: int = 0
    next_worker: int = 1
    next_attempt: int = 1
    timers: set[str] = field(default_factory=set)


__all__ = [
    "TASK_TRANSITIONS",
    "TERMINAL",
    "WORKER_TRANSITIONS",
    "Job",
    "Pool",
    "Session",
    "State",
    "Task",
    "TaskState",
    "Worker",
    "WorkerState",
]
