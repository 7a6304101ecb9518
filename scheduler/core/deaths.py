"""What the death of a worker means for the task that it ran: once more, or the end of it, or of one item.

Of a task of several items the first death does not tell which item it was. From then on the worker marks each
item that it begins, so that the next death names its item; when the retries are spent that item is lost, and
the others go on. Owns the count of deaths. Read next: `tasks.py`.
"""

from .commands import LoseItem
from .ids import Attempt
from .pieces import all_reported
from .state import Job, Task, TaskState
from .tasks import complete, put_back, settle, settle_stopped, stop_job, why_never
from .turn import Turn


def orphan(turn: Turn, task: Task, why: str, mark: tuple[Attempt, int] | None = None) -> None:
    """The worker died under the task, and at this item if it has marked one."""
    job = turn.state.jobs[task.job]
    session = turn.state.sessions[job.session]
    if all_reported(task):
        complete(turn, job, task)
        return
    if task.state is TaskState.STOPPING or job.halted:
        settle_stopped(turn, job, task, why)
        return
    assert task.worker is not None
    if not turn.state.workers[task.worker].draining:  # else its machine went, which is no fault of the task
        _count(task, mark)
    spent = task.deaths > task.spec.retries
    once = not task.spec.retries  # whoever died, and why: it is never run twice
    again = f", the last of {task.deaths} that died under it" if task.deaths > 1 else ""
    if why_never(turn.state, session, task.spec) or once or (spent and task.suspect is None):
        settle(turn, job, task, TaskState.LOST, why + again)
        return
    if spent:
        _lose_item(turn, job, task, why + again)
        return
    if not job.told_again:
        job.told_again = True
        turn.notify(session, f"{why}; what it ran of job {job.number} ({job.title}) runs again elsewhere")
    put_back(turn, job, task)


def _count(task: Task, mark: tuple[Attempt, int] | None) -> None:
    """One death more: of the item that was running, if that is known."""
    if mark is not None and mark[0] == task.attempt and not task.reported >> mark[1] & 1:
        if task.suspect is not None and task.suspect != mark[1]:
            task.deaths = 0  # those were another's
        task.suspect = mark[1]
    task.careful = task.spec.size > 1
    task.deaths += 1


def _lose_item(turn: Turn, job: Job, task: Task, why: str) -> None:
    """This one has had its chances; the others go on."""
    assert task.suspect is not None
    turn.out.append(LoseItem(job.id, task.told_as, task.suspect, why))
    task.reported |= 1 << task.suspect
    task.failed_items += 1
    job.items_failed += 1
    task.suspect = None
    task.deaths = 0
    if all_reported(task):
        complete(turn, job, task)
    else:
        put_back(turn, job, task)
    if job.stop_on_error and not job.halted:
        stop_job(turn, job)
