"""Every message between kernel, hub and worker, as tagged, strict msgspec structs.

Owns the vocabulary of the wire and its version. Never holds user objects: those are pickled bytes
(`Payload`), or a `Ref` to shared memory when they are large. A frame on the wire is a list of messages
(`link.py`). Read next: `records.py`, `work.py` (what hub and workers say), `link.py`.
"""

from __future__ import annotations

from typing import Literal

from .actors import (
    ActorAnswer as ActorAnswer,
    ActorInfo as ActorInfo,
    ActorOptions as ActorOptions,
    Actors as Actors,
    ActorSaved as ActorSaved,
    ActorState as ActorState,
    ActorUp as ActorUp,
    AskRecipe as AskRecipe,
    EndActor as EndActor,
    FindActor as FindActor,
    FollowActor as FollowActor,
    HostActor as HostActor,
    KeepActor as KeepActor,
    ListActors as ListActors,
    Recipe as Recipe,
    RenewActor as RenewActor,
    StartActor as StartActor,
)
from .records import (
    HostInfo as HostInfo,
    HubInfo as HubInfo,
    Interpreter as Interpreter,
    Item as Item,
    JobInfo as JobInfo,
    Payload as Payload,
    Ref as Ref,
    SessionInfo as SessionInfo,
    TaskWire as TaskWire,
    Wire as Wire,
    WorkerInfo as WorkerInfo,
)
from .work import (
    Blob as Blob,
    Draining as Draining,
    Forget as Forget,
    Interrupt as Interrupt,
    Output as Output,
    Progress as Progress,
    Ready as Ready,
    Report as Report,
    Run as Run,
    Shed as Shed,
    Stop as Stop,
    Waiting as Waiting,
)

PROTOCOL = 5
"""Kernel, hub and workers must agree on this number; the kernel uses a hub of its own otherwise."""

INLINE_LIMIT = 64 * 1024
"""Payloads above this many bytes travel as references to shared memory, not through the hub."""


# --- client -> hub --------------------------------------------------------------------------------


class Hello(Wire, frozen=True):
    """A kernel attaches, or a running task does so as to submit tasks."""

    protocol: int
    client: str
    role: Literal["kernel", "task"]
    pid: int
    session: str = ""
    name: str = ""
    grace: float = 0.0
    interpreter: Interpreter | None = None
    returning: bool = False  # it was attached before: send again what it has not claimed
    worker: int = 0  # role "task": the worker that the task runs on; its session is the client's


class Goodbye(Wire, frozen=True):
    """The client leaves by itself; the session lives on for its grace time."""


class PutBlob(Wire, frozen=True):
    """Something that tasks need by digest: a function, a cell, a captured value."""

    digest: str
    data: Payload


class DropBlob(Wire, frozen=True):
    """The client will not refer to this blob again; it goes when no task needs it any more."""

    digest: str


class OpenJob(Wire, frozen=True):
    job: int
    kind: Literal["cell", "over", "map", "submit"]
    title: str
    background: bool = False
    stop_on_error: bool = False
    setup: bool = False
    cell: str = ""
    parent: tuple[int, int] | None = None  # the (job, task) that opened it from inside a worker


class Submit(Wire, frozen=True):
    job: int
    tasks: list[TaskWire]
    last: bool


class Cancel(Wire, frozen=True):
    job: int
    tasks: list[int] | None = None
    force: bool = False
    queued: bool = False  # only those that no worker has


class Claim(Wire, frozen=True):
    """The user has, or has dropped, these results (None: the whole job)."""

    job: int
    tasks: list[int] | None = None


class AttachJob(Wire, frozen=True):
    """Send this client all that is kept of the job: output so far, results so far; then go on live."""

    job: int


class SetMesh(Wire, frozen=True):
    size: int
    gpus: int = 0


class SetContext(Wire, frozen=True):
    """cwd, environment and sys.path of the kernel, for every task submitted from now on."""

    digest: str
    data: bytes  # msgpack of Interpreter


class KeepObject(Wire, frozen=True):
    """A segment that the client made; it lives until `DropObject` or the session's end."""

    ref: Ref


class DropObject(Wire, frozen=True):
    name: str


class ResetSession(Wire, frozen=True):
    """Clear jobs, results and namespaces (end=False), or end the session for good (end=True)."""

    end: bool = False


class AskStatus(Wire, frozen=True):
    request: int


class EndHubNow(Wire, frozen=True):
    """From the Jupyter server's extension as it shuts down, or from `%mesh` by name."""


# --- hub -> client --------------------------------------------------------------------------------


class Welcome(Wire, frozen=True):
    protocol: int
    epoch: int
    hub: str
    session: SessionInfo | None
    cpus: int
    gpus: list[str]
    logs: str  # folder of this session's logs
    objects: str  # name prefix of this client's shared-memory segments
    memory: int = 0  # bytes that the hub can promise to tasks
    key: str = ""  # of the session


class Refuse(Wire, frozen=True):
    """The hub cannot take this client, job or request; `why` is a sentence for a person."""

    why: str
    job: int | None = None


class Results(Wire, frozen=True):
    job: int
    task: int
    worker: int | None  # mesh number
    items: list[Item]


class Settled(Wire, frozen=True):
    """The task is over: "done", "failed", "cancelled", "timed out" or "lost"."""

    job: int
    task: int
    state: str
    why: str
    worker: int | None
    seconds: float = 0.0  # that its last run took in the worker


class MeshState(Wire, frozen=True):
    workers: list[WorkerInfo]


class Notice(Wire, frozen=True):
    text: str


class Freed(Wire, frozen=True):
    """To a client or a worker: these segments that you made are free; without names: keep no free ones."""

    names: list[str]


class JobState(Wire, frozen=True):
    """Answer to `AttachJob`, sent after the kept output and results."""

    info: JobInfo
    missing: bool = False  # the job is not known any more


class Status(Wire, frozen=True):
    request: int
    hub: HubInfo


# --- both ways ------------------------------------------------------------------------------------


class AckNow(Wire, frozen=True):
    """Acknowledge this frame at once: its sender waits for that, as it is about to leave."""


ToHub = (
    Hello | Goodbye | PutBlob | DropBlob | OpenJob | Submit | Cancel | Claim | AttachJob | SetMesh
    | SetContext | KeepObject | DropObject | ResetSession | AskStatus | EndHubNow | Ready | Report
    | Waiting | Draining | Progress | Output | AckNow | StartActor | FindActor | ListActors | EndActor
    | FollowActor | KeepActor | RenewActor | AskRecipe | ActorUp | ActorSaved
)  # fmt: skip
ToClient = (
    Welcome | Refuse | Results | Settled | MeshState | Notice | JobState | Status | Freed | Progress
    | Output | ActorAnswer | Actors | ActorState | Recipe
)  # fmt: skip
ToWorker = Blob | Run | Interrupt | Stop | Forget | Shed | Freed | HostActor
