"""What the core remembers: sessions, jobs, tasks, workers, and the table of legal transitions.

Owns the records and the tables. Never decides anything: handlers do, through `transitions.py`, and
`invariants.py` checks what must always hold. Read next: `core.py`.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from .events import Pool, TaskSpec
from .ids import Attempt, ClientId, JobId, SessionId, TaskIndex, WorkerId


class TaskState(StrEnum):
    """Where a task stands; the last four are the ends."""

    # Enum hashes by a Python-level call; the tables are asked several times an event.
    __hash__ = str.__hash__

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"  # interrupted, has not yielded yet
    DONE = "done"
    FAILED = "failed"  # user code raised
    CANCELLED = "cancelled"
    LOST = "lost"  # its worker died and its retries are spent, or it can never run


class WorkerState(StrEnum):
    """Where a worker process stands."""

    __hash__ = str.__hash__

    STARTING = "starting"  # its hello is awaited: the first one, or the one after the hub's death
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
    """One thing to run: `spec.size` items on one worker."""

    spec: TaskSpec
    job: JobId
    state: TaskState = TaskState.QUEUED
    attempt: Attempt = 0  # of the current or last dispatch
    deaths: int = 0  # workers that died under it
    worker: WorkerId | None = None  # while RUNNING or STOPPING
    reported: int = 0  # items delivered so far, a bit for each: a million of them must cost little
    failed_items: int = 0


@dataclass(slots=True)
class TaskQueue:
    """Tasks waiting for one kind of worker: the highest rank first, equals first come first served.

    Deletion is lazy: an entry whose task is no longer QUEUED is stale, is skipped by `pop`, and does not
    count in `live`. A task never returns to QUEUED while an entry of it is left, because only `pop` takes
    it out of QUEUED towards RUNNING.
    """

    ranks: dict[int, deque[Task]] = field(default_factory=dict)
    live: int = 0  # entries that are not stale

    def push(self, task: Task, rank: int) -> None:
        """Append a queued task."""
        entries = self.ranks.get(rank)
        if entries is None:
            entries = self.ranks[rank] = deque()
        entries.append(task)
        self.live += 1

    def push_front(self, task: Task, rank: int) -> None:
        """Put back a task whose turn had come already."""
        self.ranks.setdefault(rank, deque()).appendleft(task)
        self.live += 1

    def pop(self) -> Task:
        """Take the first live entry; `live` must not be 0."""
        while True:
            rank = max(self.ranks)
            entries = self.ranks[rank]
            while entries:
                task = entries.popleft()
                if task.state is TaskState.QUEUED:
                    self.live -= 1
                    return task
            del self.ranks[rank]

    def drop(self) -> None:
        """Count one entry as stale; its task leaves QUEUED now."""
        self.live -= 1
        if not self.live:
            self.ranks.clear()

    def tasks(self) -> list[Task]:
        """The live entries, in order."""
        entries = [task for rank in sorted(self.ranks, reverse=True) for task in self.ranks[rank]]
        return [task for task in entries if task.state is TaskState.QUEUED]


@dataclass(slots=True)
class Job:
    """One launch. Items are counted as they are delivered: `items_done` succeeded, `items_failed` raised."""

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
    running: int = 0  # of these, RUNNING or STOPPING
    items: int = 0
    items_done: int = 0
    items_failed: int = 0
    cancelled: bool = False  # someone asked for it
    told_again: bool = False  # that work of it is repeated: said once
    halted: bool = False  # cancelled, or stopped by its first error: tasks that still come are cancelled
    claimed: set[TaskIndex] = field(default_factory=set)  # forgotten tasks; re-sent, they stay forgotten
    born: int = 0  # workers from this id on were started after it was opened
    parent: tuple[JobId, TaskIndex] | None = None  # the task that opened it
    depth: int = 0  # how many tasks stand around it, one inside another
    abandoned: bool = False  # nobody takes its results: it is forgotten once it is over

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to run."""
        return self.sealed and self.open_tasks == 0


@dataclass(slots=True)
class Worker:
    """One worker process, from the order to start it to the news of its exit."""

    id: WorkerId
    session: SessionId
    number: int | None  # mesh number; None for a task worker
    gpus: tuple[str, ...]
    state: WorkerState = WorkerState.STARTING
    task: tuple[JobId, TaskIndex] | None = None
    waits: bool = False  # what it runs waits for tasks of its own: its slot is lent
    fresh: bool = True  # has run nothing of the user's yet, setup cells aside
    setup: deque[tuple[JobId, TaskIndex]] = field(default_factory=deque)  # setup tasks still to run
    setup_run: tuple[JobId, TaskIndex] | None = None  # the setup task that it is running
    setup_attempt: Attempt = 0
    setup_seen: set[JobId] = field(default_factory=set)  # setup jobs whose own task ran here
    greeted: bool = False  # has said hello once
    proven: bool = False  # has come as far as being able to work; deaths before are bad starts
    retire: bool = False  # end it when its task is over
    reason: str = ""  # why the core ended it, when that says more than the exit status


@dataclass(slots=True)
class Shape:
    """A session's task workers with one number of GPUs, and what waits for them."""

    ready: TaskQueue = field(default_factory=TaskQueue)
    idle: list[WorkerId] = field(default_factory=list)  # last in, first out: the rest can be reaped
    live: int = 0  # workers not ENDING
    busy: int = 0  # of these, with a task
    lent: int = 0  # of these, with a task that waits for its own
    bad_starts: int = 0  # in a row
    told: bool = False  # has been told who holds the GPUs


@dataclass(slots=True)
class Session:
    """One notebook or script: its workers, its queues, its jobs."""

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
    shapes: dict[int, Shape] = field(default_factory=dict)  # its task workers, by GPUs
    ready_mesh: TaskQueue = field(default_factory=TaskQueue)  # any mesh worker
    ready_pinned: dict[int, TaskQueue] = field(default_factory=dict)
    idle_mesh: dict[int, WorkerId] = field(default_factory=dict)  # idle, setup done, longest idle first
    own_work: dict[int, None] = field(default_factory=dict)  # idle numbers with setup or pinned tasks
    setup_jobs: list[JobId] = field(default_factory=list)
    bad_starts: dict[int, int] = field(default_factory=dict)  # in a row, by mesh number
    broken: dict[int, str] = field(default_factory=dict)  # numbers given up, and what their last death was
    served: int = 0  # dispatches so far
    served_at: int = 0  # `State.dispatches` at its last one


@dataclass(slots=True)
class State:
    """Everything that the core knows."""

    epoch: int = 0
    cpus: int = 1
    gpus: dict[str, WorkerId | None] = field(default_factory=dict)  # device -> holder
    gone_gpus: set[str] = field(default_factory=set)  # still held, but no longer ours when released
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    workers: dict[WorkerId, Worker] = field(default_factory=dict)
    slots_used: int = 0
    next_worker: int = 1
    next_attempt: int = 1
    dispatches: int = 0
    gpu_waiting: dict[SessionId, None] = field(default_factory=dict)  # sessions short of devices
    timers: set[str] = field(default_factory=set)
    nested: dict[tuple[JobId, TaskIndex], dict[JobId, None]] = field(default_factory=dict)  # jobs of tasks


__all__ = [
    "TASK_TRANSITIONS",
    "TERMINAL",
    "WORKER_TRANSITIONS",
    "Job",
    "Pool",
    "Session",
    "Shape",
    "State",
    "Task",
    "TaskQueue",
    "TaskState",
    "Worker",
    "WorkerState",
]
