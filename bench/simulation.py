"""The pure core at a size no machine here has: 1,000 workers, 1,000,000 tasks, virtual time, no processes.

Owns the simulated world: a clock that jumps from one end of a task to the next, and chance with a seed.
Never touches the shells. What it prints is the core's share: microseconds an event, and memory a task.

    python -m bench.simulation [tasks] [workers]

Read next: `core_events.py` (the same core, small and busy), `scheduler/core/core.py`.
"""

import gc
import heapq
import random
import sys
import time
import tracemalloc
from dataclasses import dataclass

from cellmesh.scheduler.core import events as e
from cellmesh.scheduler.core.commands import StartTask, StartWorker
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId

NOTEBOOKS = 4
BATCH = 1000
"""Tasks that a notebook submits in one message."""


@dataclass(frozen=True)
class Simulated:
    """What a run cost."""

    decisions: int  # events handled
    seconds: float  # of CPU in the core
    slowest_tenth: float  # seconds of the tenth of the run that took longest, by the mean tenth
    virtual: float  # seconds that the work would have taken
    bytes_per_task: float  # with everything queued

    @property
    def microseconds(self) -> float:
        """Per decision."""
        return self.seconds / self.decisions * 1e6


def simulate(tasks: int = 1_000_000, workers: int = 1_000, *, weigh: bool = False) -> Simulated:
    """Four notebooks submit everything at once; tasks take 1 to 100 ms. `weigh` measures memory, not time."""
    world = _World(workers)
    for number in range(NOTEBOOKS):
        world.attach(number)
    batches = [min(BATCH, tasks - first) for first in range(0, tasks, BATCH)]
    for number, count in enumerate(batches):
        if weigh and number == len(batches) // 2:  # all workers are there, and everything more is queued
            tracemalloc.start()
        world.submit(number % NOTEBOOKS, count)
    if weigh:
        weight = tracemalloc.get_traced_memory()[0] / sum(batches[len(batches) // 2 :])
        tracemalloc.stop()
        return Simulated(1, 0.0, 0.0, 0.0, weight)
    tenths: list[float] = []
    gc.collect()
    while world.finished < tasks:
        spent, goal = world.spent, min(tasks, world.finished + max(1, tasks // 10))
        while world.finished < goal:
            world.step()
        tenths.append((world.spent - spent) / 1e9)
    mean = sum(tenths) / len(tenths)
    return Simulated(world.decisions, world.spent / 1e9, max(tenths) / mean, world.now, 0.0)


class _World:
    """Stands in for hub, nursery and workers."""

    def __init__(self, workers: int) -> None:
        self.now = 0.0
        self.spent = 0  # nanoseconds inside the core
        self.decisions = 0
        self.finished = 0
        self._core = Core()
        self._dice = random.Random(7)
        self._ends: list[tuple[float, int, StartTask]] = []
        self._next_task = [0] * NOTEBOOKS
        self._tell(e.HubStarted(0.0, 1, workers))

    def attach(self, number: int) -> None:
        """A notebook opens, and one job in it."""
        session = SessionId(f"s{number}")
        self._tell(e.SessionAttached(self.now, session, ClientId(f"c{number}"), f"{number}.ipynb", 600.0))
        self._tell(e.JobOpened(self.now, _job(number), session, "map", "f"))

    def submit(self, number: int, count: int) -> None:
        """Some tasks of that notebook's job."""
        first = self._next_task[number]
        self._next_task[number] = first + count
        specs = tuple(e.TaskSpec(index) for index in range(first, first + count))
        self._tell(e.TasksSubmitted(self.now, _job(number), specs, False))

    def step(self) -> None:
        """The next task ends."""
        self.now, _, run = heapq.heappop(self._ends)
        self.finished += 1
        done = ((0, True, 1),)
        self._tell(e.ItemsReported(self.now, run.worker, run.job, run.task, run.attempt, done, e.Outcome.OK))

    def _tell(self, event: e.Event) -> None:
        begin = time.thread_time_ns()
        commands = self._core.handle(event)
        self.spent += time.thread_time_ns() - begin
        self.decisions += 1
        for command in commands:
            if type(command) is StartTask:
                end = self.now + self._dice.uniform(0.001, 0.1)
                heapq.heappush(self._ends, (end, command.attempt, command))
            elif type(command) is StartWorker:
                self._tell(e.WorkerReady(self.now, command.worker))


def _job(number: int) -> JobId:
    return JobId((number + 1) << 32)


def main() -> None:
    """Print one run."""
    tasks, workers = (int(word) for word in (sys.argv[1:] + ["1000000", "1000"][len(sys.argv) - 1 :]))
    run = simulate(tasks, workers)
    weight = simulate(tasks // 10, workers, weigh=True).bytes_per_task
    print(f"{tasks:,} tasks on {workers:,} workers, {run.virtual:.1f} s of virtual time:")
    print(f"  {run.microseconds:.2f} µs per decision ({run.decisions:,} decisions, {run.seconds:.1f} s)")
    print(f"  slowest tenth of the run: {run.slowest_tenth:.2f}x the mean tenth")
    print(f"  {weight:,.0f} bytes of the core per queued task")


if __name__ == "__main__":
    main()
