"""The Engine contract: all that the notebook side knows of whatever runs its work.

Owns the interface and its records. Never knows which engine is behind it. An engine answers through a
`Sink`, from a thread of its own (inline: from the caller's), in order per job: output and items of a
task come before its end. Read next: `inline.py` (the smallest engine), `embedded.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from cellmesh.scheduler.wire.actors import ActorAnswer, ActorInfo, Recipe, StartActor
from cellmesh.scheduler.wire.direct import FromHost, ToHost
from cellmesh.scheduler.wire.messages import (
    HubInfo,
    Interpreter,
    Item,
    JobInfo,
    Output,
    Payload,
    Progress,
    TaskWire,
    WorkerInfo,
)


class EngineError(RuntimeError):
    """Something an engine cannot do; the message says what happened and what to do."""


class VersionMismatchError(EngineError):
    """The hub speaks another protocol than this kernel."""


class HubGoneError(EngineError):
    """The hub ended while we attached to it; another may be found, or started."""


class SessionBusyError(EngineError):
    """Another living kernel holds the session of this notebook."""


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Who attaches: a notebook's identity and its Python."""

    key: str  # same key, same session
    name: str  # for people: the notebook's path, or the script's name
    grace: float  # seconds that the session outlives this process
    interpreter: Interpreter


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One launch. `job` is unique: use `Engine.new_job_id()`."""

    job: int
    kind: Literal["cell", "over", "map", "submit"]
    title: str
    background: bool = False
    stop_on_error: bool = False
    setup: bool = False
    cell: str = ""  # JSON of the launching cell's parent header
    parent: tuple[int, int] | None = None  # the (job, task) inside which it is opened


@dataclass(frozen=True, slots=True)
class Survivors:
    """What was found when attaching: mesh workers with their names, jobs running or unclaimed."""

    workers: tuple[WorkerInfo, ...] = ()
    jobs: tuple[JobInfo, ...] = ()
    notes: tuple[str, ...] = ()  # lines for the person, e.g. that another hub's version was met


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the engine has in all."""

    cpus: int
    gpus: tuple[str, ...] = field(default=())
    memory: int = 0  # bytes that can be promised; 0: nobody counts


class Sink(Protocol):
    """What an engine tells the notebook side. Called from the engine's thread: be quick, never raise."""

    def items(self, job: int, task: int, worker: int | None, items: Sequence[Item]) -> None:
        """These items of the task finished. Each (job, task, item) comes exactly once."""

    def settled(
        self, job: int, task: int, state: str, why: str, worker: int | None, seconds: float = 0.0
    ) -> None:
        """The task is over: "done", "failed", "cancelled", "timed out" or "lost". Exactly
        once.

        `seconds` is what its last run took, 0 if unknown.
        """

    def output(self, output: Output) -> None:
        """A worker printed or displayed something."""

    def progress(self, progress: Progress) -> None:
        """A running item said how far it is; only its latest word matters, and some may be left out."""

    def workers(self, workers: Sequence[WorkerInfo]) -> None:
        """The mesh changed; `id` of a replaced worker differs."""

    def actor(self, info: ActorInfo) -> None:
        """An actor that this client follows has changed: it is alive, restarting or ended."""

    def notice(self, text: str) -> None:
        """A line for the person."""

    def refused(self, why: str, job: int | None) -> None:
        """A job (or, with None, a request) was not taken."""

    def lost(self, why: str) -> None:
        """The engine is gone for good, and with it all that was running; nothing more will come."""

    def job(self, info: JobInfo, missing: bool) -> None:
        """Answer to `attach_job`, after everything kept of that job has been sent."""

    def flushed(self) -> None:
        """A burst has been passed on: a good moment to publish what it brought."""


class LocalActor(Protocol):
    """An actor that lives in this very process: what others say through a socket, it is told by calls."""

    def take(self, message: ToHost, answer: Callable[[FromHost], None]) -> None:
        """Do what the message asks, now; `answer` is called with all that comes of it."""


NOT_KEPT = "This engine's actors live in its own process, and cannot be saved or restored."


class Lives(ABC):
    """The lives of actors; calls go straight to them (`wire/direct.py`)."""

    @abstractmethod
    def start(self, wanted: StartActor) -> ActorAnswer:
        """Start it, or find the living one of its name; `request` is the engine's to set.

        Waits for the answer, but not until it is alive: `Sink.actor` tells that. Who starts follows.
        """

    @abstractmethod
    def find(self, name: str, actor: int = 0) -> ActorAnswer:
        """By name, or by id if that is ""; waits for the answer. Who finds follows."""

    @abstractmethod
    def all(self) -> list[ActorInfo]:
        """Those of the session, and the detached ones. Waits for the answer."""

    @abstractmethod
    def end(self, actor: int, why: str) -> None: ...

    @abstractmethod
    def follow(self, actor: int, follow: bool = True) -> None:
        """Have `Sink.actor` called with how it is, and with each change of that; or no more."""

    def keep(self, actor: int) -> None:  # noqa: B027 - only where a task's process ends before its session
        """Others than the task that started it refer to it now: it does not end with that task's process."""

    @abstractmethod
    def renew(self, actor: int, blob: str, same: str) -> None:
        """Its class was reloaded: restarts use this blob, and named starts compare with `same`."""

    def recipe(self, actor: int) -> Recipe:
        """What it was started with, for saving it. Waits for the answer."""
        raise EngineError(NOT_KEPT)

    def home(self, actor: int) -> Path:
        """The folder that outlives its processes: its checkpoint is there, or is looked for at its start."""
        raise EngineError(NOT_KEPT)

    def abroad(self, info: ActorInfo) -> ActorInfo:
        """An actor as a process is told of it that may be elsewhere, where its address means nothing."""
        return info

    def is_far(self, actor: int) -> bool:
        """Whether it cannot read this process's shared memory, though others can."""
        return False

    def local(self, actor: int) -> LocalActor | None:
        """The actor, if it lives in this process; others are at their address."""
        return None


class Engine(ABC):
    """One way to run work. Methods return at once unless they say that they wait."""

    name: str

    patience = 0.2
    """Seconds in which a map's first small results should be here: the rest is cut into tasks by these."""

    most_tasks = 4000
    """A map is not cut into many more tasks than that while nobody knows what its items take."""

    @property
    @abstractmethod
    def actors(self) -> Lives:
        """The lives of actors."""

    @abstractmethod
    def open(self, session: SessionSpec, sink: Sink) -> Survivors:
        """Attach; waits until the engine has answered. Raises EngineError in one clear line."""

    @abstractmethod
    def close(self, *, end_session: bool) -> None:
        """Leave. With `end_session`, everything of the session is stopped and freed. Waits."""

    @abstractmethod
    def capacity(self) -> Capacity: ...

    @abstractmethod
    def new_job_id(self) -> int: ...

    @abstractmethod
    def set_mesh(self, size: int, gpus: int = 0) -> None:
        """Ask for mesh workers numbered 0..size-1, each with so many GPUs. `Sink.workers` answers."""

    def scale(self, least: int, most: int | None = None) -> bool:
        """Have so many workers to run on, or as many as the work needs between the two; waits, and tells by a
        notice. False if there are only this machine's, and the mesh is what has a size."""
        if most is not None:
            raise EngineError(
                "the workers of one machine do not come and go by themselves; a cluster's do: "
                'cm.connect("dask", cluster)'
            )
        return False

    @abstractmethod
    def put_blob(self, data: Payload, digest: str) -> None:
        """Make something available to tasks by its digest; sending it twice costs nothing."""

    @abstractmethod
    def drop_blob(self, digest: str) -> None:
        """This content will not be referred to again (a captured name has changed since)."""

    @abstractmethod
    def set_context(self, interpreter: Interpreter) -> None:
        """cwd, environment and sys.path for tasks submitted from now on."""

    @abstractmethod
    def open_job(self, job: JobSpec) -> None: ...

    @abstractmethod
    def submit(self, job: int, tasks: Sequence[TaskWire], *, last: bool) -> None: ...

    @abstractmethod
    def cancel(
        self, job: int, tasks: Sequence[int] | None = None, *, force: bool = False, queued: bool = False
    ) -> None:
        """Drop what is queued and interrupt what runs. `force`: replace its worker; `queued`: leave it."""

    @abstractmethod
    def claim(self, job: int, tasks: Sequence[int] | None = None) -> None:
        """The user has, or has dropped, these results."""

    @abstractmethod
    def attach_job(self, job: int) -> None:
        """Have everything kept of a surviving job sent to the sink, then what it still brings."""

    @abstractmethod
    def object_prefix(self) -> str:
        """Name prefix for shared-memory segments that this client makes; "" keeps all inline."""

    def cell_prefix(self) -> str:
        """The same for what cells use of the notebook's."""
        return self.object_prefix()

    def task_prefix(self) -> str:
        """The same for what is made for maps, submits and `cm.put`."""
        return self.object_prefix()

    @abstractmethod
    def keep(self, data: Payload) -> None:
        """A segment that the client made lives until `drop` or the session's end."""

    @abstractmethod
    def drop(self, name: str) -> None: ...

    @abstractmethod
    def nudge(self) -> None:
        """There are segments to drop: have `Sink.flushed` called soon. A finalizer may ask, in any thread."""

    def future_there(self, job: int, task: int, item: int, payload: Callable[[], Payload]) -> Any:
        """The result of an item as a Future of the cluster's own kind; `payload` waits for what it is."""
        raise EngineError("There are Futures of Dask's only on a Dask cluster: cm.connect('dask', ADDRESS).")

    @abstractmethod
    def reset(self) -> None:
        """Cancel the session's jobs, forget results, give it fresh mesh workers."""

    @abstractmethod
    def status(self, timeout: float = 5.0) -> HubInfo:
        """Ask for everything; waits for the answer."""

    @abstractmethod
    def logs(self) -> str:
        """The folder with this session's full logs; "" if there is none."""
