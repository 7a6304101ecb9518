"""The records inside messages: payloads, tasks, items, actors, and what status views list.

Owns their shapes. Never holds user objects: those are pickled bytes, or a `Ref` to shared memory when they
are large. Read next: `messages.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Wire(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Base of all messages."""


class Ref(Wire, frozen=True, tag="ref"):
    """A pickle (and its out-of-band buffers) in one shared-memory segment."""

    name: str
    size: int


Payload = bytes | Ref


class Interpreter(Wire, frozen=True):
    """The Python that workers must run, and the surroundings they start in."""

    executable: str
    environ: dict[str, str]
    cwd: str
    path: list[str]


class TaskWire(Wire, frozen=True):
    """One task as the client submits it.

    `verb` says what the worker does with `payload`:
    "call" (one call: pickled (args, kwargs)), "calls" (several of these, joined by `packets.py`),
    "map" (a list of argument tuples, one item each), "each" (a list of single arguments, one item each),
    "cell" (a pickled `CellCode`), "over" (a list of values for a cell's item name).
    `blobs` are digests of what the worker must have first; the first is the function, for over it is the
    pickled `CellCode`. Amounts are `int | float`: a decoded float is an object of each task, 0 and 1 are not.
    """

    index: int
    verb: Literal["call", "calls", "map", "each", "cell", "over"]
    payload: Payload
    blobs: list[str] = []
    size: int = 1
    pool: Literal["mesh", "task"] = "task"
    worker: int | None = None
    gpus: int | float = 0  # whole GPUs, or a part of one
    retries: int = 0
    seeds: list[int] | None = None  # one per item, or none: leave random state alone
    cpus: int | float = 1  # slots that each run of it takes
    memory: int = 0  # bytes that it is promised
    priority: int = 0  # within its session; the higher, the sooner
    timeout: int | float = 0  # seconds that an item may take (a run: times its items); 0: no limit
    retry_on: str = ""  # digest of a pickled tuple of exception types that are retried, `retries` times
    isolate: bool = False  # in a process of its own also where others run in threads


class Item(Wire, frozen=True):
    """A finished item of a task, or a run of them. A failed one's payload is a pickled `Failure`.

    With `count` over 1 it stands for the items `index` to `index + count - 1`, all of which succeeded, and
    the payload is the pickled list of their results: what is small and quick must not be paid for one by one.
    """

    index: int
    ok: bool
    payload: Payload
    count: int = 1


class WorkerInfo(Wire, frozen=True):
    """A mesh worker as a client sees it."""

    number: int
    id: int  # changes when the worker is replaced: its namespace is new
    pid: int
    state: str
    gpus: list[str]
    names: list[str]  # assigned there by distributed cells


class JobInfo(Wire, frozen=True):
    """A job as `%mesh jobs` lists it."""

    id: int
    number: int
    kind: str
    title: str
    background: bool
    finished: bool
    cancelled: bool
    items: int
    done: int
    failed: int
    running: int
    opened: float  # wall clock
    cell: str = ""  # the launching cell's parent header, as JSON; "" outside a notebook
    ends: dict[
        str, int
    ] = {}  # its tasks that did not end well: how many "timed out", were "cancelled", "lost"
    left: list[tuple[int, int]] = []  # for who attaches: tasks that are not over, and their sizes


class ActorOptions(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What `@cm.actor(...)` and `start(...)` ask for, whatever the class."""

    gpus: float = 0  # held by its process as long as it lives
    cpus: float = 0  # kept for it as long as it lives; 0: it takes what is there
    memory: int = 0  # bytes that it is promised
    restarts: int = 0  # how many deaths of its process it survives
    checkpoint: bool = True  # with restarts: in the background
    replay: bool = False  # log calls before they run; after a death, run them again in the same order
    threads: int = 1  # calls that run at once
    env: dict[str, str] = {}  # set in its process before the class is loaded
    detached: bool = False  # lives with the hub, and any notebook of the user finds it


class ActorInfo(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An actor as callers and `%mesh actors` see it."""

    id: int
    name: str  # "" if it has none
    title: str  # of its class
    session: str
    state: Literal["waiting", "starting", "alive", "restarting", "ended"]
    address: str = ""  # of its socket, if it is alive
    incarnation: int = 0  # 1, 2, …: one more with each restart
    pid: int = 0
    gpus: list[str] = []
    why: str = ""  # waiting: who holds what it needs; ended: when and why, with its last lines
    starter: str = ""  # who started it: the notebook's or script's name
    cell: str = ""  # in which cell: its execution count, or the name of the script
    opened: float = 0.0  # wall clock
    options: ActorOptions = ActorOptions()
    failure: bytes = b""  # ended because it could not be made: the pickled `Failure`
    same: str = ""  # digest of class source and arguments, as it was started or reloaded last
    saved: float = 0.0  # wall clock of its last checkpoint; 0: none
    host: str = ""  # where it lives; "": here


class SessionInfo(Wire, frozen=True):
    """A session as a status view lists it."""

    id: str
    name: str
    attached: bool
    slots: float  # cores that its running tasks take
    mesh: list[WorkerInfo]
    task_workers: list[int]  # their pids
    jobs: list[JobInfo]
    actors: list[ActorInfo] = []


class HostInfo(Wire, frozen=True):
    """A worker of a cluster's own, on one of its hosts, as a status view lists it."""

    host: str
    worker: str
    threads: int
    memory: int  # bytes that it may take
    used: int
    resources: dict[str, float]
    tasks: int  # that run there, or wait for that
    mesh: list[int]  # numbers of the mesh workers beside it
    actors: list[str]  # beside it


class HubInfo(Wire, frozen=True):
    """The hub as a status view shows it."""

    name: str
    pid: int
    nursery: int
    epoch: int
    cpus: int
    slots_used: float
    gpus: list[str]
    sessions: list[SessionInfo]
    started: float
    objects: int = 0  # bytes of them in shared memory
    objects_free: int = 0  # of these, bytes that nobody needs and their makers keep for what they make next
    hosts: list[HostInfo] = []  # of a cluster; none on one machine
