"""What `import cellmesh as cm` offers beyond magics.

Owns the functions a user calls that are too short for files of their own. Never holds state: the session
does. Read next: `calls.py`, `tasks.py`, `gathering.py`, `attaching.py`.
"""

from collections.abc import Iterable
from typing import Any

from cellmesh.scheduler.engines.contract import Engine, EngineError
from cellmesh.scheduler.wire.messages import JobInfo, WorkerInfo
from cellmesh.scheduler.worker import lending
from cellmesh.widgets.viewmodel import job_rows
from cellmesh.widgets.views import JobsView

from . import attaching
from .calls import map, submit
from .dask_scheduler import dask_get
from .executor import Executor
from .futures import Future
from .gathering import as_completed, wait
from .greeting import found
from .jobs import Job, WorkerLost
from .mapping import Results
from .putting import put
from .reattaching import results_of
from .submitting import submissions_of
from .tasks import task
from .tracking import track


def cancel(what: Any) -> None:
    """Cancel a Future, Results, a job's number, or a list of these."""
    if isinstance(what, Future | Results | Job):
        what.cancel()
    elif isinstance(what, int):
        session = attaching.current()
        job = session.find_job(what)
        if isinstance(job, Job):
            job.cancel()
        elif not job.finished:
            session.engine.cancel(job.id)
    elif callable(getattr(what, "cancel", None)):  # a stream or a map of an actor's, another library's future
        what.cancel()
    elif isinstance(what, Iterable) and not isinstance(what, str | bytes):
        for one in what:
            cancel(one)
    else:
        raise TypeError(
            f"cm.cancel takes a Future, Results, a job's number or a list of these, not {what!r}."
        )


def jobs() -> JobsView[Job | JobInfo]:
    """The session's jobs, oldest first: those of this kernel, and those that survived an earlier one."""
    session = attaching.current()
    submissions_of(session).seal_idle()
    known = {job.id: job for job in [*session.history, *session.jobs.values()]}
    infos = {job.id: (info_of(job), job.cell.label if job.cell else "") for job in known.values()}
    found: dict[int, Job | JobInfo] = dict(known)
    for one in session.engine.status().sessions:
        for info in one.jobs if one.id == session.spec.key else ():
            if info.id not in infos:
                infos[info.id] = (info, "")
                found[info.id] = info
    order = sorted(infos, key=lambda id: infos[id][0].number)
    return JobsView(tuple(found[id] for id in order), job_rows(infos.values()))


def info_of(job: Job) -> JobInfo:
    """This kernel's knowledge of a job, as the hub would tell it."""
    return JobInfo(
        id=job.id,
        number=job.number,
        kind=job.kind,
        title=job.title,
        background=job.background,
        finished=job.finished,
        cancelled=job.cancelled and not job.timed_out,
        items=job.items,
        done=job.done,
        failed=job.failed,
        running=job.running,
        opened=job.opened,
        ends={**job.ends, "timed out": 1} if job.timed_out else dict(job.ends),
    )


def attach(which: int | None = None) -> Results | list[Future]:
    """The results of a job of an earlier kernel (None: the latest); its output so far is shown here."""
    return results_of(attaching.current(), which)


def start(workers: int | None = None, gpus: int = 0) -> tuple[WorkerInfo, ...]:
    """Start the mesh workers (default: one a core, or one a GPU). The first distributed cell does it too."""
    _in_notebook("cm.start")
    if workers is not None and workers < 1:
        raise EngineError(f"cm.start(workers={workers}): at least 1 worker; cm.stop() stops them.")
    return attaching.current().ensure_mesh(workers, gpus)


def stop() -> None:
    """Stop the mesh workers; their namespaces go with them."""
    _in_notebook("cm.stop")
    attaching.current().set_mesh(0)


def connect(engine: str | Engine = "embedded", where: Any = None, **options: Any) -> None:
    """Use another engine: "embedded" (this machine), "inline" (this process, for debugging), or "dask".

        cm.connect("dask", "tls://scheduler:8786", security=Security(...))
        cm.connect("dask", client)     # a distributed.Client, or a cluster: LocalCluster(), SLURMCluster(...)
        cm.connect("embedded")         # and back

    `insecure=True` allows a way to another machine that is not encrypted. `checkpoints="/shared/folder"` (or
    a URL that fsspec knows, as "s3://bucket/folder") names where the states of actors are kept.
    """
    _in_notebook("cm.connect")
    before = attaching.attached()
    session = attaching.connect(engine, where, **options)
    if session is not before:
        for line in found(session):
            session.notices.say(line)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext cellmesh`."""
    from .extension import load_ipython_extension as load

    load(shell)


def _in_notebook(what: str) -> None:
    if lending.in_task():
        raise RuntimeError(
            f"{what} is for the notebook: a task runs on the engine that its notebook is connected to. "
            "cm.map, cm.submit and cm.put work here."
        )


__all__ = [
    "Executor",
    "Future",
    "Results",
    "WorkerLost",
    "as_completed",
    "attach",
    "cancel",
    "connect",
    "dask_get",
    "jobs",
    "load_ipython_extension",
    "map",
    "put",
    "start",
    "stop",
    "submit",
    "task",
    "track",
    "wait",
]
