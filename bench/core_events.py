"""What the scheduler's core costs per event: `python bench/core_events.py`.

Owns one measurement: events are made beforehand, so the figure is `Core.handle` alone. Never touches
processes or sockets. Read next: `scheduler/core/core.py`.
"""

import gc
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cellmesh.scheduler.core import events as e
from cellmesh.scheduler.core.commands import StartTask, StartWorker
from cellmesh.scheduler.core.core import Core


def bench_core(
    n_tasks: int = 100_000, n_workers: int = 16, batch: int = 1, queue: int | None = None
) -> float:
    """Microseconds per event over submit/start/finish cycles of one-item tasks.

    `batch` tasks are submitted an event; `queue` tasks wait at any time (None: one per worker, so that
    each report both ends a task and starts the next).
    """
    core = Core()
    core.handle(e.HubStarted(0.0, 1, n_workers))
    core.handle(e.SessionAttached(0.0, "s", "c", "s.ipynb", 600.0))  # type: ignore[arg-type]
    job = 1 << 32
    core.handle(e.JobOpened(0.0, job, "s", "map", "f"))  # type: ignore[arg-type]
    depth = n_workers if queue is None else queue
    submits = [
        e.TasksSubmitted(0.0, job, tuple(e.TaskSpec(i) for i in range(first, first + batch)), False)  # type: ignore[arg-type]
        for first in range(0, n_tasks, batch)
    ]
    submits.reverse()
    running: list[StartTask] = []
    spent = 0
    events = 0
    clock = time.thread_time_ns

    def tell(event: e.Event) -> None:
        nonlocal spent, events
        begin = clock()
        commands = core.handle(event)
        spent += clock() - begin
        events += 1
        for command in commands:
            if type(command) is StartTask:
                running.append(command)
            elif type(command) is StartWorker:
                tell(e.WorkerReady(0.0, command.worker))

    gc.collect()
    finished = submitted = 0
    while finished < n_tasks:
        while submits and submitted - finished < n_workers + depth:
            tell(submits.pop())
            submitted += batch
        run = running.pop(0)
        tell(e.ItemsReported(0.0, run.worker, run.job, run.task, run.attempt, ((0, True, 1),), e.Outcome.OK))
        finished += 1
    return spent / events / 1000


def main() -> None:
    """Print the table."""
    for title, options in {
        "one task at a time, submit then report": {"queue": 0, "n_workers": 1},
        "16 busy workers, 16 waiting": {},
        "16 busy workers, 50,000 waiting": {"queue": 50_000},
        "64 busy workers, batches of 100 tasks": {"n_workers": 64, "batch": 100, "queue": 1000},
    }.items():
        best = min(bench_core(**options) for _ in range(3))  # type: ignore[arg-type]
        print(f"{best:6.2f} µs per event: {title}")


if __name__ == "__main__":
    main()
