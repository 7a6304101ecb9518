"""What `%mesh` shows of a cluster: its hosts, what each has, and what runs where.

Owns how the answers of the scheduler and of the hubs beside the workers become one picture. Never keeps
anything. Read next: `scheduler/roll.py`, `fleet.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cellmesh.scheduler.engines.contract import EngineError, SessionSpec
from cellmesh.scheduler.engines.dask.scheduler.roll import Load, Member, gpus_of
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import HostInfo, HubInfo, JobInfo, SessionInfo, WorkerInfo

from .cells import joined
from .host import Host

_MOST_AT_ONCE = 16

_NOTHING = Load(0, 0)


def cells_of(hosts: Iterable[Host], session: str, timeout: float) -> tuple[list[JobInfo], list[WorkerInfo]]:
    """The jobs of cells that these have of a session, each once, and its mesh. Waits for their answers."""

    def one(host: Host) -> tuple[list[JobInfo], list[WorkerInfo]]:
        try:
            told = host.engine.status(timeout)
        except EngineError:
            return [], host.mesh  # it is just leaving
        own = [each for each in told.sessions if each.id == session]
        jobs = [job for each in own for job in each.jobs if job.id not in host.hidden]
        return jobs, host.mesh_here([worker for each in own for worker in each.mesh])

    parts: dict[int, list[JobInfo]] = {}
    mesh: list[WorkerInfo] = []
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        for jobs, workers in pool.map(one, list(hosts)):
            mesh += workers
            for job in jobs:
                parts.setdefault(job.id, []).append(job)
    return [joined(each) for each in parts.values()], sorted(mesh, key=lambda info: info.number)


def picture(
    where: str,
    session: SessionSpec,
    members: Sequence[Member],
    loads: dict[str, Load],
    hosts: dict[str, Host],
    mesh: list[WorkerInfo],
    jobs: list[JobInfo],
    actors: list[ActorInfo],
    started: float,
) -> HubInfo:
    """All of it; `hosts` and `loads` by the workers' addresses."""
    names = {each.host: hosts[each.address].name for each in members if each.address in hosts}
    rows = [
        _row(member, names, loads.get(member.address, _NOTHING), hosts.get(member.address))
        for member in members
    ]
    busy = sum(min(row.tasks, row.threads) for row in rows) + sum(each.state == "busy" for each in mesh)
    own = SessionInfo(session.key, session.name, True, busy, mesh, [], jobs, actors)
    return HubInfo(
        name=f"Dask at {where}",
        pid=os.getpid(),
        nursery=0,
        epoch=1,
        cpus=sum(member.threads for member in members),
        slots_used=busy,
        gpus=list(gpus_of(members)),
        sessions=[own],
        started=started,
        hosts=rows,
    )


def found(where: str, members: Sequence[Member]) -> str:
    """What a person is told who has connected."""
    hosts, threads = len({member.host for member in members}), sum(member.threads for member in members)
    gpus = len(gpus_of(members))
    parts = [_plural(hosts, "host"), _plural(len(members), "worker"), _plural(threads, "thread")]
    parts += [_plural(gpus, "GPU")] if gpus else []
    return f"connected to Dask at {where}: {', '.join(parts)}"


def moved(count: int, others: Sequence[Member]) -> str:
    """What becomes of so many mesh workers of a host that is lost."""
    if not others:
        return "it was the last one: start others, as by cluster.scale(2)"
    if count == 1:
        return "its mesh worker starts on another, with an empty namespace"
    return f"its {count} mesh workers start on others, with empty namespaces"


def _row(member: Member, names: dict[str, str], load: Load, host: Host | None) -> HostInfo:
    """`names` are those of hosts by their addresses, as far as they are known."""
    return HostInfo(
        host=names.get(member.host, member.host),
        worker=member.name if member.name != member.address else member.address.rpartition(":")[2],
        threads=member.threads,
        memory=member.memory,
        used=load.memory,
        resources={name: amount for name, amount in member.resources.items() if amount},
        tasks=load.tasks,
        mesh=[] if host is None else sorted(host.numbers),
        actors=[]
        if host is None
        else [info.name or info.title for info in host.actors.values() if info.state != "ended"],
    )


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
