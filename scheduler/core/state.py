"""What the core remembers: sessions, jobs, tasks, workers, actors.

Owns the records. Never decides anything: handlers do, through `transitions.py`, and `invariants.py` checks
what must always hold. Read next: `tables.py` (how states may change), `queues.py`, then `core.py`.
"""

from collections import deque
from dataclasses import dataclass, field

from .actor_events import ActorSpec
from .events import ONE, Pool, TaskSpec
from .ids import ActorId, Attempt, ClientId, JobId, SessionId, TaskIndex, WorkerId
from .queues import TaskQueue
from .tables import TASK_TRANSITIONS, TERMINAL, WORKER_TRANSITIONS, ActorState, TaskState, WorkerState


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
    careful: bool = False  # a worker died under it: from now on it is marked which item runs
    suspect: int | None = None  # the item under which the last one died, if that is known
    given: int = 0  # items that are for other pieces of the task to run, a bit for each
    of: TaskIndex | None = None  # the task that this is a piece of: workers and clients know it by that index

    @property
    def told_as(self) -> TaskIndex:
        """The index that workers and clients know it by."""
        return self.spec.index if self.of is None else self.of


@dataclass(slots=True)
class Split:
    """A task of which items were given back, to be run elsewhere; to its client it is still one task."""

    open: int = 1  # pieces that are not over, the task itself included
    state: TaskState = TaskState.DONE  # the worst end so far
    why: str = ""
    pieces: list[TaskIndex] = field(default_factory=list)  # what the job knows the others by


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
    through: TaskIndex = 0  # so are all below this number: an endless map has many
    born: int = 0  # workers from this id on were started after it was opened
    parent: tuple[JobId, TaskIndex] | None = None  # the task that opened it
    depth: int = 0  # how many tasks stand around it, one inside another
    opener: ClientId | None = None  # whose it was when it was opened, if that is known
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
    number: int | None  # mesh number; None for a task worker and for a host
    gpus: tuple[str, ...]  # devices that it holds, or has a part of
    share: int = 0  # thousandths of GPUs that it holds in all
    state: WorkerState = WorkerState.STARTING
    task: tuple[JobId, TaskIndex] | None = None
    takes: TaskSpec | None = None  # what it runs, its task or a setup cell
    limit: float = 0.0  # seconds that its task's run may take, if there is a limit
    expired: bool = False  # they have passed, and it is to stop
    waits: bool = False  # that waits for tasks of its own: its slot is lent
    since: float = 0.0  # when its task began, if that has several items
    asked: bool = False  # to give items back; it has not answered
    spare: bool = False  # it may have items to give back
    fresh: bool = True  # has run nothing of the user's yet, setup cells aside
    setup: deque[tuple[JobId, TaskIndex]] = field(default_factory=deque)  # setup tasks still to run
    setup_run: tuple[JobId, TaskIndex] | None = None  # the setup task that it is running
    setup_attempt: Attempt = 0
    setup_seen: set[JobId] = field(default_factory=set)  # setup jobs whose own task ran here
    greeted: bool = False  # has said hello once
    proven: bool = False  # has come as far as being able to work; deaths before are bad starts
    retire: bool = False  # end it when its task is over
    paused: bool = False  # its process is stopped (SIGSTOP)
    draining: bool = False  # it will be taken away (SIGTERM): end it when its task is over, and replace it
    reason: str = ""  # why the core ended it, when that says more than the exit status
    actor: ActorId | None = None  # which one it hosts; it never runs tasks then


@dataclass(slots=True)
class Actor:
    """A living object and the process that hosts it, one after the other."""

    id: ActorId
    name: str  # "" if it has none
    title: str  # of its class
    session: SessionId
    spec: ActorSpec
    same: str  # digest of what it was started with
    state: ActorState = ActorState.WAITING
    worker: WorkerId | None = None  # while STARTING or ALIVE
    incarnation: int = 0  # how many processes it has had
    deaths: int = 0  # of these, died by no order of ours
    cpus: int = 0  # thousandths of cores that it has: all of them while it has a process
    memory: int = 0  # bytes, likewise
    why: str = ""  # what it waits for

    @property
    def label(self) -> str:
        """What people call it."""
        return f"actor {self.name}" if self.name else f"an actor of class {self.title}"


@dataclass(slots=True)
class Shape:
    """A session's task workers with one share of GPUs, and what waits for them.

    Tasks that take the same cores and about the same memory wait in one lane: what does not fit now must not
    keep others from what it leaves free.
    """

    lanes: dict[int, TaskQueue] = field(default_factory=dict)
    waiting: int = 0  # tasks in all lanes
    idle: list[WorkerId] = field(default_factory=list)  # last in, first out: the rest can be reaped
    live: int = 0  # workers not ENDING
    busy: int = 0  # of these, with a task
    lent: int = 0  # of these, with a task that waits for its own
    bad_starts: int = 0  # in a row
    told: bool = False  # has been told who holds the GPUs

    def lane_of(self, spec: TaskSpec) -> TaskQueue:
        """Where a task waits. Memory counts by its magnitude only: sizes differ, lanes are to be few."""
        kind = spec.cpus
        if spec.memory:
            kind += spec.memory.bit_length() << 48
        lane = self.lanes.get(kind)
        if lane is None:
            lane = self.lanes[kind] = TaskQueue()
        return lane

    def queued(self) -> list[Task]:
        """All that waits."""
        return [task for lane in self.lanes.values() for task in lane.tasks()]


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
    running: int = 0  # thousandths of cores that it holds
    hosting: int = 0  # of these, for its actors
    shapes: dict[int, Shape] = field(default_factory=dict)  # its task workers, by share of GPUs
    ready_mesh: TaskQueue = field(default_factory=TaskQueue)  # any mesh worker
    ready_pinned: dict[int, TaskQueue] = field(default_factory=dict)
    idle_mesh: dict[int, WorkerId] = field(default_factory=dict)  # idle, setup done, longest idle first
    own_work: dict[int, None] = field(default_factory=dict)  # idle numbers with setup or pinned tasks
    paused: dict[int, None] = field(default_factory=dict)  # idle numbers whose processes are stopped
    setup_jobs: list[JobId] = field(default_factory=list)
    bad_starts: dict[int, int] = field(default_factory=dict)  # in a row, by mesh number
    broken: dict[int, str] = field(default_factory=dict)  # numbers given up, and what their last death was
    served: int = 0  # dispatches so far
    told_at: int = -1  # `served` when it was last told who holds the cores
    served_at: int = 0  # `State.dispatches` at its last one


@dataclass(slots=True)
class State:
    """Everything that the core knows."""

    epoch: int = 0
    cpus: int = ONE  # thousandths of cores that there are
    memory: int = 0  # bytes that there are
    min_workers: int = 0  # as in `HubStarted`
    max_workers: int = 0
    gpus: dict[str, dict[WorkerId, int]] = field(default_factory=dict)  # device -> thousandths of its holders
    elsewhere: set[str] = field(default_factory=set)  # devices that another hub held when we last asked
    gone_gpus: set[str] = field(default_factory=set)  # still held, but no longer ours when released
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    workers: dict[WorkerId, Worker] = field(default_factory=dict)
    slots_used: int = 0  # thousandths of cores
    memory_used: int = 0  # bytes promised to what runs
    free_riders: int = 0  # queued tasks that take no core: full slots do not keep them
    first_in_line: SessionId | None = None  # whose turn it was when what it has to run did not fit
    line_order: int = 0  # its `served` then: until that starts, the session is asked in the same order first
    next_worker: int = 1
    next_attempt: int = 1
    dispatches: int = 0
    gpu_waiting: dict[SessionId, None] = field(default_factory=dict)  # sessions short of devices
    timers: set[str] = field(default_factory=set)
    many: dict[WorkerId, None] = field(default_factory=dict)  # who runs several items that others could run
    splits: dict[tuple[JobId, TaskIndex], Split] = field(default_factory=dict)  # tasks in pieces
    nested: dict[tuple[JobId, TaskIndex], dict[JobId, None]] = field(default_factory=dict)  # jobs of tasks
    actors: dict[ActorId, Actor] = field(default_factory=dict)
    names: dict[tuple[SessionId, str], ActorId] = field(default_factory=dict)  # of actors that have one
    homeless: dict[ActorId, None] = field(default_factory=dict)  # actors that are to get a process, in order


__all__ = [
    "TASK_TRANSITIONS",
    "TERMINAL",
    "WORKER_TRANSITIONS",
    "Actor",
    "ActorState",
    "Job",
    "Pool",
    "Session",
    "Shape",
    "Split",
    "State",
    "Task",
    "TaskQueue",
    "TaskState",
    "Worker",
    "WorkerState",
]
