"""Tasks in pieces: what was given back by one worker is run by another, and the client sees one task.

A piece is a task of its own in its job, under an index that nobody else uses, with a share of the items. It
is started, reported, retried and cancelled like any task; only its index is replaced by that of the whole
where it is told. When the last piece is over, the whole task ends as the worst of them did.

Owns which items are whose. Never decides who gives back: `shedding.py` does. Read next: `shedding.py`.
"""

from dataclasses import replace

from .ids import TaskIndex
from .state import Job, Split, State, Task, TaskState, Worker
from .transitions import conclude
from .turn import Turn

_WORSE = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.TIMED_OUT, TaskState.LOST).index


def not_to_run(task: Task) -> tuple[int, ...]:
    """The items that have been delivered or are another piece's, in order."""
    bits = task.reported | task.given
    return tuple(index for index in range(task.spec.size) if bits >> index & 1)


def all_reported(task: Task) -> bool:
    """Whether every item of it has been delivered."""
    return (task.reported | task.given).bit_count() >= task.spec.size


def offer_items(turn: Turn, worker: Worker) -> None:
    """It begins a task of several items, some of which others could run."""
    worker.since = turn.at
    worker.asked = False
    worker.spare = True
    turn.state.many[worker.id] = None


def add_piece(state: State, job: Job, task: Task, items: int) -> Task:
    """Make a piece of these items, which the task gives up."""
    whole = task.told_as
    everything = (1 << task.spec.size) - 1
    task.given |= items
    key = -state.next_attempt  # as unique as that
    state.next_attempt += 1
    piece = Task(
        replace(task.spec, index=key), job.id, given=everything & ~items, of=whole, careful=task.careful
    )
    job.tasks[key] = piece
    job.open_tasks += 1
    split = state.splits.setdefault((job.id, whole), Split())
    split.open += 1
    split.pieces.append(key)
    return piece


def pieces_of(state: State, job: Job, index: TaskIndex) -> list[Task]:
    """The task and what was split off it."""
    split = state.splits.get((job.id, index))
    return [job.tasks[key] for key in [index, *(split.pieces if split else ())]]


def is_split(state: State, job: Job, index: TaskIndex) -> bool:
    """Whether it is a task of which a piece may still run, or such a piece."""
    return index < 0 or (job.id, index) in state.splits


def end_piece(state: State, job: Job, task: Task, why: str) -> tuple[TaskIndex, TaskState, str] | None:
    """A task or a piece is over: what is told of the whole, or None while other pieces of it are open."""
    whole = task.told_as
    split = state.splits.get((job.id, whole))
    if split is None:
        return whole, task.state, why
    split.open -= 1
    if _WORSE(task.state) > _WORSE(split.state):
        split.state, split.why = task.state, why
    if split.open:
        return None
    first = job.tasks[whole]
    for key in split.pieces:
        piece = job.tasks.pop(key)
        first.reported |= piece.reported
        first.failed_items += piece.failed_items
    first.given = 0
    conclude(first, split.state)
    del state.splits[job.id, whole]
    return whole, split.state, split.why
