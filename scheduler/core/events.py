"""Facts that the shell tells the core, in the past tense.

Owns the vocabulary in. Never carries payload bytes: sizes and ids only. Batches of like facts are one
event, because the cost of the core is paid per event. Every event carries `at`, the shell's monotonic
clock in seconds. Read next: `commands.py`.
"""

from dataclasses import dataclass
from enum import StrEnum

from .actor_events import ActorEndAsked, ActorRenewed, ActorRequested, ActorUp
from .ids import ActorId, Attempt, ClientId, JobId, SessionId, TaskIndex, WorkerId

ONE = 1000
"""One core or one GPU: both are counted in thousandths, exactly."""


class Pool(StrEnum):
    """Which kind of worker a task runs on."""

    MESH = "mesh"  # numbered, holds the session's namespaces
    TASK = "task"  # anonymous, elastic


class Outcome(StrEnum):
    """How a worker says that a task ended."""

    OK = "ok"
    ERROR = "error"  # the user's code raised (for a map: the items tell which)
    INTERRUPTED = "interrupted"  # it yielded to an interrupt


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What the core must know of a task to place it."""

    index: TaskIndex
    size: int = 1  # how many items it holds
    pool: Pool = Pool.TASK
    worker: int | None = None  # the number of the mesh worker it is pinned to
    gpus: int = 0  # on the task pool: thousandths of GPUs that its worker must hold
    retries: int = 0  # how many deaths of its worker it survives
    cpus: int = ONE  # thousandths of cores that it takes while it runs
    memory: int = 0  # bytes that it is promised while it runs
    priority: int = 0  # the higher, the sooner, within its session
    timeout: float = 0.0  # seconds that a run may take for each item it has left; 0: no limit


@dataclass(frozen=True, slots=True)
class HubStarted:
    """The hub runs on a machine with so many cores, these GPUs and so much memory (in bytes)."""

    at: float
    epoch: int
    cpus: int
    gpus: tuple[str, ...] = ()
    memory: int = 0
    min_workers: int = 0  # task workers that a session keeps once it has used some
    max_workers: int = 0  # task workers that a session may have at once; 0: as many as the cores can feed


@dataclass(frozen=True, slots=True)
class SessionAttached:
    """A kernel said hello; the session is new, or it comes back to it."""

    at: float
    session: SessionId
    client: ClientId
    name: str
    grace: float  # seconds the session outlives its kernel; 0 for scripts


@dataclass(frozen=True, slots=True)
class ClientLost:
    """The kernel's process is gone (or it said goodbye)."""

    at: float
    client: ClientId


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Someone asked for the session to be cleared for good."""

    at: float
    session: SessionId


@dataclass(frozen=True, slots=True)
class MeshRequested:
    """The session wants mesh workers numbered 0..size-1 (size 0: none), each with so many GPUs."""

    at: float
    session: SessionId
    size: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class SessionReset:
    """Cancel all jobs of the session, forget its results, and replace its mesh workers by fresh ones."""

    at: float
    session: SessionId


@dataclass(frozen=True, slots=True)
class JobOpened:
    at: float
    job: JobId
    session: SessionId
    kind: str  # "cell", "over", "map" or "submit"
    title: str
    background: bool = False
    stop_on_error: bool = False
    setup: bool = False  # its tasks are run again on every new mesh worker of the session
    parent: tuple[JobId, TaskIndex] | None = None  # the task inside which it was opened
    client: ClientId | None = None  # who asks


@dataclass(frozen=True, slots=True)
class TasksSubmitted:
    at: float
    job: JobId
    tasks: tuple[TaskSpec, ...]
    last: bool  # no more tasks will come


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Cancel these tasks (None: the whole job). `force` replaces running workers at once.

    `queued`: only those that no worker has.
    """

    at: float
    job: JobId
    tasks: tuple[TaskIndex, ...] | None = None
    force: bool = False
    queued: bool = False


@dataclass(frozen=True, slots=True)
class ResultsClaimed:
    """The user has (or has dropped) these results; the hub may forget them (None: the whole job)."""

    at: float
    job: JobId
    tasks: tuple[TaskIndex, ...] | None = None


@dataclass(frozen=True, slots=True)
class JobsAbandoned:
    """Who opened these jobs is gone, and nobody else will take their results."""

    at: float
    jobs: tuple[JobId, ...]


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker said hello, for the first time or again after the hub's death.

    `holding`: what it is running, or has finished and will report again.
    """

    at: float
    worker: WorkerId
    holding: tuple[tuple[JobId, TaskIndex, Attempt], ...] = ()
    hosting: tuple[ActorId, int] | None = None  # the actor that it is, in which of its lives


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker's process is gone; `why` is for people ("was killed by SIGKILL")."""

    at: float
    worker: WorkerId
    why: str
    mark: tuple[Attempt, int] | None = None  # the item that it was at, if it has marked one
    elsewhere: str = ""  # it never was: another hub of this user holds this device of its


@dataclass(frozen=True, slots=True)
class WorkerPaused:
    """The operating system stopped the worker's process (SIGSTOP), or lets it go on."""

    at: float
    worker: WorkerId
    paused: bool


@dataclass(frozen=True, slots=True)
class WorkerDraining:
    """The worker was told that it will be taken away (SIGTERM)."""

    at: float
    worker: WorkerId


@dataclass(frozen=True, slots=True)
class ItemsReported:
    """A worker's report on its task: items that finished, and whether the task is over.

    `items` are (index within the task, succeeded, count): runs of `count` items from that index on.
    `outcome` is None while the task goes on.
    """

    at: float
    worker: WorkerId
    job: JobId
    task: TaskIndex
    attempt: Attempt
    items: tuple[tuple[int, bool, int], ...]
    outcome: Outcome | None
    returned: tuple[int, ...] | None = None  # answers `ShedItems`: these will not be run by this attempt


@dataclass(frozen=True, slots=True)
class TaskWaiting:
    """A running task waits for tasks of its own, or goes on."""

    at: float
    worker: WorkerId
    job: JobId
    task: TaskIndex
    attempt: Attempt
    waits: bool


@dataclass(frozen=True, slots=True)
class TimerFired:
    at: float
    timer: str


@dataclass(frozen=True, slots=True)
class HubRecovered:
    """The journal has been replayed; of the workers, these still live. They will say hello again."""

    at: float
    epoch: int
    workers: tuple[WorkerId, ...]


Event = (
    HubStarted
    | SessionAttached
    | ClientLost
    | SessionEnded
    | MeshRequested
    | SessionReset
    | JobOpened
    | TasksSubmitted
    | CancelRequested
    | ResultsClaimed
    | JobsAbandoned
    | WorkerReady
    | WorkerLost
    | WorkerPaused
    | WorkerDraining
    | ItemsReported
    | TaskWaiting
    | TimerFired
    | HubRecovered
    | ActorRequested
    | ActorUp
    | ActorEndAsked
    | ActorRenewed
)
