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


def jobs_of(hosts: Iterable[Host], session: str, timeout: float) -> list[JobInfo]:
    """The jobs of cells that these have of a session, each once. Waits for their answers."""

    def one(host: Host) -> list[JobInfo]:
        try:
            told = host.engine.status(timeout)
        except EngineError:
            return []  # it is just leaving
        return [
            job
            for each in told.sessions
            if each.id == session
            for job in each.jobs
            if job.id not in host.hidden
        ]

    parts: dict[int, list[JobInfo]] = {}
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        for told in pool.map(one, list(hosts)):
            for job in told:
                parts.setdefault(job.id, []).append(job)
    return [joined(each) for each in parts.values()]


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
