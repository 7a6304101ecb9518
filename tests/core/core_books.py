"""Books of what the core's commands told clients, which prove that each thing is told once.

Owns the counting. Never changes anything in the world. Read next: `core_world.py`.
"""

from collections import Counter

from cellmesh.scheduler.core import commands as c
from cellmesh.scheduler.core.state import TERMINAL, TaskState


class Books:
    def __init__(self):
        self.delivered = Counter()
        self.settled = {}

    def take(self, command, event):
        """This command came of this event."""
        match command:
            case c.DeliverItems(job, task, _, accepted):
                assert accepted, "an empty delivery"
                for position in accepted:
                    first, _, many = event.items[position]
                    for item in range(first, first + many):
                        key = (job, task, item)
                        self.delivered[key] += 1
                        assert self.delivered[key] == 1, f"delivered twice: {key}"
                    assert (job, task) not in self.settled, "delivered after the end"
            case c.LoseItem(job, task, item, why):
                self.delivered[job, task, item] += 1
                assert self.delivered[job, task, item] == 1, f"delivered, and lost: {command}"
                assert why
            case c.SettleTask(job, task, state, why):
                assert (job, task) not in self.settled, f"settled twice: {command}"
                assert state in TERMINAL
                assert bool(why) == (state in (TaskState.LOST, TaskState.CANCELLED, TaskState.TIMED_OUT)), (
                    command
                )
                self.settled[job, task] = state
