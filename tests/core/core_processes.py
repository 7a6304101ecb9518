"""Fake worker processes, and items as they report them.

Owns the records only. Read next: `core_world.py`, where they act.
"""

from dataclasses import dataclass, field


@dataclass
class Process:
    """A fake worker process."""

    id: int
    greeted: bool = False
    doomed: bool = False  # told to stop or killed
    run: tuple | None = None  # (job, task, attempt)
    todo: list = field(default_factory=list)  # items left of it
    careful: bool = False  # marks which item it is at
    interrupted: bool = False
    waits: bool = False
    shed: bool = False  # asked to give items back
    paused: bool = False
    asked: bool = False  # told to stop while it could not hear it
    draining: bool = False
    host: bool = False  # it is to be an actor's
    hosting: tuple | None = None  # (actor, incarnation)
    up: bool = False  # has said that it answers calls, or cannot


def runs_of(items, succeeded):
    """Items as a worker reports them: successes that follow one another are one run."""
    runs = []
    for item in items:
        if succeeded and runs and sum(runs[-1][::2]) == item:
            runs[-1] = (runs[-1][0], True, runs[-1][2] + 1)
        else:
            runs.append((item, succeeded, 1))
    return tuple(runs)
