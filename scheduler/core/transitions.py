"""The one place where a task, a worker or an actor changes state.

Owns the check against the tables in `tables.py`. Never decides which change is right.
Read next: `tasks.py`, `workers.py`.
"""

from .state import Actor, Task, Worker
from .tables import (
    ACTOR_TRANSITIONS,
    TASK_TRANSITIONS,
    TERMINAL,
    WORKER_TRANSITIONS,
    ActorState,
    TaskState,
    WorkerState,
)


class InvalidTransition(Exception):  # noqa: N818 - says what happened, like StopIteration
    """A bug of the core: it wanted a change that the table does not allow.

    `story` is what is known of the culprit's past; `story.Recorder` fills it in.
    """

    def __init__(self, what: str, job: int | None = None, task: int | None = None, worker: int | None = None):
        super().__init__(what)
        self.job = job
        self.task = task
        self.worker = worker
        self.story: list[str] = []

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *self.story])


def move(task: Task, to: TaskState) -> None:
    """Change a task's state."""
    if (task.state, to) not in TASK_TRANSITIONS:
        what = f"task {task.spec.index} of job {task.job}: {task.state} -> {to} ({task})"
        raise InvalidTransition(what, job=task.job, task=task.spec.index)
    task.state = to


def conclude(task: Task, to: TaskState) -> None:
    """All pieces of a task are over: it has ended as the worst of them did."""
    assert task.state in TERMINAL
    assert to in TERMINAL
    task.state = to


def shift(worker: Worker, to: WorkerState) -> None:
    """Change a worker's state."""
    if (worker.state, to) not in WORKER_TRANSITIONS:
        raise InvalidTransition(f"worker {worker.id}: {worker.state} -> {to} ({worker})", worker=worker.id)
    worker.state = to


def become(actor: Actor, to: ActorState) -> None:
    """Change an actor's state."""
    if (actor.state, to) not in ACTOR_TRANSITIONS:
        raise InvalidTransition(f"actor {actor.id}: {actor.state} -> {to} ({actor})", worker=actor.worker)
    actor.state = to
