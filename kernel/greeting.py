"""What a notebook is told that comes to an engine: where it is, and what of it is there already.

Owns these lines. Never attaches to anything. Read next: `extension.py`, `attaching.py`.
"""

from cellmesh.scheduler.wire.messages import ActorInfo, JobInfo, WorkerInfo
from cellmesh.scheduler.wire.version import VERSION
from cellmesh.widgets.viewmodel import job_state

from .session import Session

NAMES_SHOWN = 12


def greeting(session: Session) -> list[str]:
    """What was found, in a few lines."""
    capacity = session.engine.capacity()
    cores = f"{capacity.cpus} core{'s' * (capacity.cpus != 1)}"
    gpus = f", {len(capacity.gpus)} GPU{'s' * (len(capacity.gpus) != 1)}" if capacity.gpus else ""
    return [f"cellmesh {VERSION}: attached to {_where(session)}; {cores}{gpus}", *found(session)]


def found(session: Session) -> list[str]:
    """What an earlier kernel has left, or this one before it left the engine: workers, actors, jobs."""
    lines = []
    workers = session.workers
    # What was stopped is nothing to come back to; what runs comes first.
    known = [job for job in session.survivors.jobs if job_state(job) not in ("cancelled", "stopping")]
    jobs = sorted(known, key=lambda job: job.finished)
    if workers:
        lines.append(f"found {_workers(workers)}")
    lines += [_actor(info) for info in session.engine.actors.all() if info.name]
    lines += [_job(job) for job in jobs[:2]]
    if len(jobs) > 2:
        more = len(jobs) - 2
        lines.append(f"and {more} more job{'s' * (more > 1)}: %mesh jobs lists them")
    return lines


def _where(session: Session) -> str:
    if session.engine.name == "inline":
        return "the inline engine (everything runs in this process, one task after another)"
    if session.engine.name != "embedded":
        return f"the {session.engine.name} engine"
    own = session.spec.key.startswith(("process-", "notebook-"))  # see identity.py
    return "your own hub" if own else "the hub of this Jupyter server"


def _workers(workers: tuple[WorkerInfo, ...]) -> str:
    names = sorted({name for worker in workers for name in worker.names})
    shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
    count = f"{len(workers)} mesh worker{'s' * (len(workers) != 1)}"
    return f"{count} with: {shown}" if shown else f"{count}, without variables"


def _actor(info: ActorInfo) -> str:
    where = " detached" if info.options.detached else ""
    get = f'cm.get_actor("{info.name}")'
    return f"found{where} actor {info.name} ({info.title}), which is {info.state}: {get} has it"


def _job(job: JobInfo) -> str:
    if not job.finished:
        state = f"running {job.done + job.failed}/{job.items}"
    elif (word := job_state(job)) != "finished":
        state = word if job.items == 1 else f"{word} ({job.items - job.done} of {job.items})"
    else:
        state = "finished, results waiting"
    return f"job {job.number} ({job.title}) {state}: %mesh attach {job.number} shows it"
