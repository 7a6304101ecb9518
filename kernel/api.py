"""What `import cellmesh as cm` offers beyond magics.

Owns the functions a user calls. Never holds state: the session does. Read next: `submitting.py`,
`launching.py`, `attaching.py`.
"""

import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from cellmesh.scheduler.engines.contract import Engine, EngineError
from cellmesh.scheduler.wire.messages import Item, JobInfo, Ref, WorkerInfo
from cellmesh.widgets.viewmodel import job_rows
from cellmesh.widgets.views import JobsView

from . import attaching, launching, options, packing
from .futures import Future
from .jobs import Job, WorkerLost
from .mapping import Results
from .reattaching import results_of
from .session import Session
from .submitting import submissions_of


def map(
    function: Callable[..., Any],
    *iterables: Iterable[Any],
    gpus: int = 0,
    retries: int = 2,
    timeout: float | None = None,
    background: bool = False,
    stop_on_error: bool = False,
    seed: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Results:
    """Call `function` with the items of `iterables`, in parallel; starts at once.

    Args:
        gpus: whole GPUs that each call holds.
        retries: how many deaths of its worker an item survives (exceptions are not retried).
        timeout: seconds after which what has not finished is cancelled.
        background: Stop does not cancel it.
        stop_on_error: cancel the rest at the first failure; otherwise all items run.
        seed: makes random numbers the same on every run, item by item.
        kwargs: keyword arguments for `function` that are named like one of these options; others are given
            directly.

    Returns:
        `Results`: iterate as they come, `await`, or `.result(timeout)`.
    """
    __tracebackhide__ = True
    options.check_names("map", function, more)
    session = _session()
    title = options.title_of(function)
    chosen = options.checked(
        session, options.Options(gpus, retries, timeout, background, stop_on_error, seed)
    )
    return launching.map_function(
        session, function, iterables, options.merged_kwargs(more, kwargs), title, chosen
    )


def submit(
    function: Callable[..., Any],
    *args: Any,
    gpus: int = 0,
    retries: int = 2,
    timeout: float | None = None,
    background: bool = False,
    seed: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Future:
    """Call `function(*args, **more)` in a worker; returns a Future at once.

    Futures among the arguments (also inside lists and dicts) arrive as their results. The options are
    those of `cm.map`.
    """
    __tracebackhide__ = True
    options.check_names("submit", function, more)
    session = _session()
    title = options.title_of(function)
    chosen = options.checked(session, options.Options(gpus, retries, timeout, background, False, seed))
    return submissions_of(session).submit(function, args, options.merged_kwargs(more, kwargs), title, chosen)


def put(value: Any) -> Future:
    """A finished Future whose value lies in shared memory, for any number of tasks to use without copies."""
    session = _session()
    packed = packing.pack(value, session.engine.object_prefix())
    for future in packed.waits:
        future.result()
    payload = packed.finish(session.engine.object_prefix())
    placed = Future(session, f"put {type(value).__name__}")
    if isinstance(payload, Ref):
        session.engine.keep(payload)
        placed.keep(payload.name)
    placed.settle(Item(0, True, payload))
    return placed


def cancel(what: Any) -> None:
    """Cancel a Future, Results, a job's number, or a list of these."""
    if isinstance(what, Future | Results | Job):
        what.cancel()
    elif isinstance(what, int):
        session = _session()
        job = session.find_job(what)
        if isinstance(job, Job):
            job.cancel()
        elif not job.finished:
            session.engine.cancel(job.id)
    elif isinstance(what, Iterable) and not isinstance(what, str | bytes):
        for one in what:
            cancel(one)
    else:
        raise TypeError(
            f"cm.cancel takes a Future, Results, a job's number or a list of these, not {what!r}."
        )


def jobs() -> JobsView[Job | JobInfo]:
    """The session's jobs, oldest first: those of this kernel, and those that survived an earlier one."""
    session = _session()
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
        cancelled=job.cancelled,
        items=job.items,
        done=job.done,
        failed=job.failed,
        running=job.running,
        opened=job.opened,
    )


def attach(which: int | None = None) -> Results | list[Future]:
    """The results of a job of an earlier kernel (None: the latest); its output so far is shown here."""
    return results_of(_session(), which)


def start(workers: int | None = None, gpus: int = 0) -> tuple[WorkerInfo, ...]:
    """Start the mesh workers (default: one a core, or one a GPU). The first distributed cell does it too."""
    if workers is not None and workers < 1:
        raise EngineError(f"cm.start(workers={workers}): at least 1 worker; cm.stop() stops them.")
    return _session().ensure_mesh(workers, gpus)


def stop() -> None:
    """Stop the mesh workers; their namespaces go with them."""
    _session().set_mesh(0)


def connect(engine: str | Engine = "embedded", *_: Any) -> None:
    """Use another engine: "embedded" (this machine), or "inline" (in this process, for debugging)."""
    _outside_workers()
    attaching.connect(engine)


def wait(futures: Iterable[Future], timeout: float | None = None, return_when: str = "ALL_COMPLETED") -> Any:
    """`concurrent.futures.wait`, felt by Stop."""
    __tracebackhide__ = True
    chosen = list(futures)

    def enough() -> bool:
        if return_when == concurrent.futures.FIRST_COMPLETED and any(f.done() for f in chosen):
            return True
        if return_when == concurrent.futures.FIRST_EXCEPTION and any(
            f.done() and not f.cancelled() and f.failed() for f in chosen
        ):
            return True
        return all(future.done() for future in chosen)

    _await(chosen, enough, timeout)
    done: set[concurrent.futures.Future[Any]] = {future for future in chosen if future.done()}
    left: set[concurrent.futures.Future[Any]] = {future for future in chosen if future not in done}
    return concurrent.futures._base.DoneAndNotDoneFutures(done, left)


def as_completed(futures: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Futures as they finish, felt by Stop."""
    __tracebackhide__ = True
    left = list(futures)
    while left:
        if not _await(left, partial(_any_done, left), timeout):
            raise TimeoutError(f"{len(left)} futures are not done.")
        ready = [future for future in left if future.done()]
        left = [future for future in left if future not in ready]
        yield from ready


def _any_done(futures: Sequence[Future]) -> bool:
    return any(future.done() for future in futures)


def _await(futures: Sequence[Future], done: Callable[[], bool], timeout: float | None) -> bool:
    """Wait on whichever job is unfinished; False at the timeout."""
    __tracebackhide__ = True
    job = next((future.job for future in futures if future.job is not None and not future.done()), None)
    if job is None:
        return True
    try:
        job.wait_for(done, timeout)
    except TimeoutError:
        return False
    return True


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext cellmesh`."""
    from .extension import load_ipython_extension as load

    load(shell)


def _outside_workers() -> None:
    if os.environ.get("CELLMESH_WORKER"):
        raise RuntimeError(
            "Submitting work from inside a cellmesh task is not available yet. Return what should run next, "
            "and submit it from the notebook."
        )


def _session() -> Session:
    _outside_workers()
    return attaching.current()


__all__ = [
    "Future",
    "Results",
    "WorkerLost",
    "as_completed",
    "attach",
    "cancel",
    "connect",
    "jobs",
    "load_ipython_extension",
    "map",
    "put",
    "start",
    "stop",
    "submit",
    "wait",
]
