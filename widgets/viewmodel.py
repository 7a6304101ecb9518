"""What the views show, as plain rows: pure functions of what the hub and the jobs say.

Owns the row types. Never renders and never asks anyone anything. Read next: `text.py`, `html.py`.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cellmesh.scheduler.wire.direct import Facts
from cellmesh.scheduler.wire.messages import ActorInfo, HostInfo, HubInfo, JobInfo, SessionInfo, WorkerInfo

NAMES_SHOWN = 8
HOSTS_SHOWN = 40
HOST_HEADS = ("host", "Dask worker", "threads", "memory", "resources", "runs")
MEGABYTE = 10**6
GIGABYTE = 10**9
ACTOR_HEADS = (
    "name", "class", "state", "pid", "gpus", "memory", "results kept", "calls", "checkpoint", "started by",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """One line about something that is waited for."""

    where: str  # "cell [5] " or ""
    title: str
    done: int
    total: int | None  # None while it is not known
    failed: int
    seconds: float
    rate: float  # items a second
    left: float | None  # seconds, if they can be told
    finished: bool
    ending: str  # "done", "cancelled", "timed out"; or how the wait ended before the work: "stopped"
    inside: str = ""  # how far what runs is, by its own word


@dataclass(frozen=True, slots=True)
class WorkerRow:
    number: int
    pid: int
    state: str
    gpus: str
    names: str


@dataclass(frozen=True, slots=True)
class JobRow:
    number: int
    kind: str
    title: str
    progress: str
    state: str
    started: str
    cell: str


@dataclass(frozen=True, slots=True)
class SessionRow:
    name: str
    state: str
    slots: float
    mesh: int
    tasks: int
    jobs: int
    actors: int = 0


@dataclass(frozen=True, slots=True)
class ActorRow:
    name: str
    title: str
    state: str
    pid: str
    gpus: str
    memory: str  # that its process holds, and of its GPUs
    data: str  # that lies there for others, and how it went to them
    calls: str
    checkpoint: str
    starter: str

    def cells(self) -> tuple[str, ...]:
        """In the order of `ACTOR_HEADS`."""
        return (
            self.name, self.title, self.state, self.pid, self.gpus, self.memory, self.data, self.calls,
            self.checkpoint, self.starter,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostRow:
    host: str
    worker: str
    threads: int
    memory: str
    resources: str
    runs: str

    def cells(self) -> tuple[object, ...]:
        """In the order of `HOST_HEADS`."""
        return self.host, self.worker, self.threads, self.memory, self.resources, self.runs


@dataclass(frozen=True, slots=True)
class MeshRows:
    """All that `%mesh` shows."""

    head: str
    workers: tuple[WorkerRow, ...]
    jobs: tuple[JobRow, ...]
    others: tuple[SessionRow, ...]
    actors: tuple[ActorRow, ...] = ()
    hosts: tuple[HostRow, ...] = ()
    more_hosts: str = ""  # what is said of those that are not listed


def worker_row(worker: WorkerInfo) -> WorkerRow:
    names = ", ".join(worker.names[:NAMES_SHOWN])
    if len(worker.names) > NAMES_SHOWN:
        names += f", … {len(worker.names) - NAMES_SHOWN} more"
    return WorkerRow(worker.number, worker.pid, worker.state, ", ".join(worker.gpus), names)


def job_state(job: JobInfo) -> str:
    if job.cancelled:
        return "cancelled" if job.finished else "stopping"
    if not job.finished:
        return "background" if job.background else "running"
    return ending(job.failed, job.ends)


def ending(failed: int, ends: Mapping[str, int]) -> str:
    """How a job that is over, and was not cancelled as a whole, ended: as the worst of its tasks did.

    >>> ending(0, {"done": 3}), ending(0, {"timed out": 1, "cancelled": 2}), ending(1, {"cancelled": 1})
    ('finished', 'timed out', 'failed')
    """
    if failed or ends.get("lost"):
        return "failed"
    return next((word for word in ("timed out", "cancelled") if ends.get(word)), "finished")


def job_row(job: JobInfo, cell: str = "") -> JobRow:
    done = job.done + job.failed
    failed = f", {job.failed} failed" if job.failed else ""
    started = time.strftime("%H:%M:%S", time.localtime(job.opened))
    return JobRow(
        job.number, job.kind, job.title, f"{done}/{job.items}{failed}", job_state(job), started, cell
    )


def job_rows(jobs: Iterable[tuple[JobInfo, str]]) -> tuple[JobRow, ...]:
    """Rows of (job, launching cell), oldest first."""
    return tuple(job_row(job, cell) for job, cell in sorted(jobs, key=lambda pair: pair[0].number))


def actor_row(info: ActorInfo, facts: Facts | None) -> ActorRow:
    """What the hub says of it, and what it says of itself if it answered."""
    calls = memory = data = checkpoint = "-"
    if facts is not None:
        calls = f"{facts.done} done" + (f", {facts.queued} queued" if facts.queued else "")
        held = [f"{facts.memory / MEGABYTE:,.0f} MB"] if facts.memory else []
        held += [f"{facts.gpu_memory / MEGABYTE:,.0f} MB of GPUs"] if facts.gpu_memory else []
        memory = ", ".join(held) or "-"
        data = _data(facts)
        if facts.checkpoint:
            checkpoint = time.strftime("%H:%M:%S", time.localtime(facts.checkpoint))
        elif facts.note:
            checkpoint = facts.note
    state = info.state + (f" (restart {info.incarnation - 1})" if info.incarnation > 1 else "")
    if info.state == "waiting" and info.why:
        state = info.why if info.why.startswith("waiting") else f"waiting: {info.why}"
    return ActorRow(
        name=(info.name or "-") + (" (detached)" if info.options.detached else ""),
        title=info.title,
        state=state,
        pid=(f"{info.pid} on {info.host}" if info.host else str(info.pid)) if info.pid else "-",
        gpus=", ".join(info.gpus) or "-",
        memory=memory,
        data=data,
        calls=calls,
        checkpoint=checkpoint,
        starter=" ".join(filter(None, (info.starter, info.cell))) or "-",
    )


def _data(facts: Facts) -> str:
    """What it keeps on its GPUs for others, and by which ways others got such data."""
    told = [f"{_size(facts.kept)} kept"] if facts.kept else []
    told += [f"{_size(size)} by {way}" for way, size in sorted(facts.passed.items())]
    return ", ".join(told) or "-"


def _size(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB" if size >= MEGABYTE / 10 else f"{size:,d} bytes"


def session_row(session: SessionInfo) -> SessionRow:
    running = sum(not job.finished for job in session.jobs)
    if any(actor.options.detached for actor in session.actors):
        state = "needs no kernel"
    else:
        state = "attached" if session.attached else "waiting for its kernel"
    return SessionRow(
        session.name,
        state,
        session.slots,
        len(session.mesh),
        len(session.task_workers),
        running,
        len(session.actors),
    )


def _objects(hub: HubInfo) -> str:
    if hub.objects < MEGABYTE:
        return ""
    free = f" ({hub.objects_free / MEGABYTE:,.0f} MB free)" if hub.objects_free >= MEGABYTE else ""
    return f", {hub.objects / MEGABYTE:,.0f} MB of objects{free}"


def host_row(info: HostInfo) -> HostRow:
    memory = f"{info.used / GIGABYTE:.1f} of {info.memory / GIGABYTE:.1f} GB" if info.memory else "-"
    runs = [f"mesh {_spans(info.mesh)}"] if info.mesh else []
    runs += [f"{info.tasks} task{'s' * (info.tasks != 1)}"] if info.tasks else []
    runs += [f"actor{'s' * (len(info.actors) != 1)} {', '.join(info.actors)}"] if info.actors else []
    resources = ", ".join(f"{amount:g} {name}" for name, amount in sorted(info.resources.items()))
    return HostRow(info.host, info.worker, info.threads, memory, resources or "-", ", ".join(runs) or "-")


def _spans(numbers: Iterable[int]) -> str:
    """
    >>> _spans([0, 2, 3, 4])
    '0,2-4'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _head(hub: HubInfo) -> str:
    gpus = f", {len(hub.gpus)} GPU{'s' * (len(hub.gpus) != 1)}" if hub.gpus else ""
    if hub.hosts:
        machines, workers = len({each.host for each in hub.hosts}), len(hub.hosts)
        there = f"{machines} host{'s' * (machines != 1)}, {workers} worker{'s' * (workers != 1)}"
        busy = f"{hub.slots_used:g} of {hub.cpus} thread{'s' * (hub.cpus != 1)} busy"
        return f"cellmesh on {hub.name}: {there}, {busy}{gpus}"
    busy = f"{hub.slots_used:g} of {hub.cpus} core{'s' * (hub.cpus != 1)} busy"
    return f"cellmesh hub {hub.name!r} (pid {hub.pid}): {busy}{gpus}{_objects(hub)}"


def mesh_rows(hub: HubInfo, own: str) -> MeshRows:
    """Rows for the session whose key or id is `own`; others are listed in one line each."""
    mine = [session for session in hub.sessions if session.id == own]
    others = tuple(session_row(session) for session in hub.sessions if session.id != own)
    head = _head(hub)
    if not mine:
        return MeshRows(head, (), (), others)
    session = mine[0]
    return MeshRows(
        head,
        tuple(worker_row(worker) for worker in session.mesh),
        job_rows((job, "") for job in session.jobs),
        others,
        tuple(actor_row(actor, None) for actor in session.actors),
        tuple(map(host_row, hub.hosts[:HOSTS_SHOWN])),
        f"and {len(hub.hosts) - HOSTS_SHOWN} more" if len(hub.hosts) > HOSTS_SHOWN else "",
    )
