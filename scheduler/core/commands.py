"""Orders that the core gives the shell, in the imperative.

Owns the vocabulary out. Every asynchronous command is answered by exactly one event, failures
included: `StartWorker` by `WorkerReady` or `WorkerLost`, `StartTask` by a final `ItemsReported` or
`WorkerLost`, `ShedItems` by an `ItemsReported` that answers it or ends the task, `KillWorker` and
`StopWorker` by `WorkerLost`, `SetTimer` by `TimerFired` unless cancelled. Read next: `state.py`.
"""

from dataclasses import dataclass

from .ids import ActorId, Attempt, ClientId, JobId, SessionId, TaskIndex, WorkerId
from .tables import ActorState, TaskState


@dataclass(frozen=True, slots=True)
class StartWorker:
    worker: WorkerId
    session: SessionId
    number: int | None  # its mesh number; None for a task worker
    gpus: tuple[str, ...] = ()
    actor: ActorId | None = None  # it is to host this one


@dataclass(frozen=True, slots=True)
class StopWorker:
    """Let an idle worker end by itself."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class KillWorker:
    worker: WorkerId


@dataclass(frozen=True, slots=True)
class StartTask:
    """Run this task now; `skip` are items that an earlier attempt has already reported.

    `careful`: a worker died under it; have each item marked, so that the next death names it.
    """

    worker: WorkerId
    job: JobId
    task: TaskIndex
    attempt: Attempt
    skip: tuple[int, ...] = ()
    careful: bool = False


@dataclass(frozen=True, slots=True)
class InterruptTask:
    worker: WorkerId
    job: JobId
    task: TaskIndex
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ShedItems:
    """Ask for items of this attempt that have not begun: others could run them."""

    worker: WorkerId
    job: JobId
    task: TaskIndex
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class DeliverItems:
    """Pass these items of the report at hand to the job's client and keep them until claimed.

    `accepted` are positions in the report's `items`; those left out were delivered before.
    """

    job: JobId
    task: TaskIndex
    worker: WorkerId
    accepted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoseItem:
    """Tell the job's client that this item killed every worker that it met. Its task goes on without it."""

    job: JobId
    task: TaskIndex
    item: int
    why: str


@dataclass(frozen=True, slots=True)
class SettleTask:
    """Tell the job's client that the task is over. `why` is set unless it is done or failed."""

    job: JobId
    task: TaskIndex
    state: TaskState
    why: str = ""


@dataclass(frozen=True, slots=True)
class RefuseJob:
    """The job cannot be taken: tell its client, and drop what is kept of it.

    `taken`: its id is another job's, which goes on; only this client is told.
    """

    job: JobId
    why: str
    taken: ClientId | None = None


@dataclass(frozen=True, slots=True)
class TellMesh:
    """The session's workers changed: send its client the new list."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class Notify:
    """A line for the person at the notebook."""

    session: SessionId
    text: str


@dataclass(frozen=True, slots=True)
class ForgetTasks:
    """Drop payloads and results of these tasks (None: the whole job and its output)."""

    job: JobId
    tasks: tuple[TaskIndex, ...] | None


@dataclass(frozen=True, slots=True)
class ForgetSession:
    """Drop everything kept for the session: blobs, results, objects, logs."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class AnswerActor:
    """Tell who asked to start one what came of that: this actor, or None and why not."""

    client: ClientId
    request: int
    actor: ActorId | None
    why: str = ""
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class HostActor:
    """Let this process be the actor. Answered by `ActorUp`, or `WorkerLost`."""

    worker: WorkerId
    actor: ActorId
    incarnation: int


@dataclass(frozen=True, slots=True)
class TellActor:
    """The actor stands elsewhere now: tell all who follow it. `why`: what it waits for or ended of."""

    actor: ActorId
    state: ActorState
    why: str = ""


@dataclass(frozen=True, slots=True)
class ForgetActor:
    """It has ended and its last process is gone: drop what is kept for its restarts."""

    actor: ActorId


@dataclass(frozen=True, slots=True)
class SetTimer:
    timer: str
    delay: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    timer: str


@dataclass(frozen=True, slots=True)
class EndHub:
    """No session is left: the hub has nothing to live for."""


Command = (
    StartWorker
    | StopWorker
    | KillWorker
    | StartTask
    | InterruptTask
    | ShedItems
    | DeliverItems
    | LoseItem
    | SettleTask
    | RefuseJob
    | TellMesh
    | Notify
    | ForgetTasks
    | ForgetSession
    | AnswerActor
    | HostActor
    | TellActor
    | ForgetActor
    | SetTimer
    | CancelTimer
    | EndHub
)
