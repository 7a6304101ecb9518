"""How long calls of a batched method are waited for, and which of them run together."""

from __future__ import annotations

from collections import deque

from cellmesh.scheduler.wire.direct import Call
from cellmesh.scheduler.worker.host.callers import Caller, Entry
from cellmesh.scheduler.worker.host.gathering import Gathering

LONG = 3600.0
"""No test waits so long: who would sleep it out hears that nobody comes."""


class Flow:
    """Callers on one side, a gathering on the other; `comes` is who calls while it waits."""

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.gathering = Gathering(self.waiting, lambda entry: entry.caller.take(entry), self._hear)
        self.callers = [Caller(str(number), "") for number in range(8)]
        self.comes: list[int] = []
        self.waits = 0
        self._count = 0

    def call(self, *callers: int, method: str = "one") -> None:
        for each in callers:
            self._count += 1
            caller = self.callers[each]
            entry = caller.waiting[self._count] = Entry(caller, Call(self._count, method, b""))
            self.waiting.append(entry)

    def run(self, most: int = 64) -> list[str]:
        """One batch to its end; who was in it."""
        first = self.waiting.popleft()
        assert first.caller.take(first)
        entries = self.gathering.gather(first, most, LONG)
        for entry in entries:
            entry.caller.answer(entry.call.number, "ok")
        self.gathering.handed_over(entries)
        return [entry.caller.id for entry in entries]

    def _hear(self, seconds: float) -> None:
        if seconds:
            self.waits += 1
            if not self.comes:
                self.gathering.stopped = True  # the time is over
            self.call(*self.comes)
            self.comes = []


def test_it_is_not_waited_for_more_than_were_under_way() -> None:
    flow = Flow()
    flow.call(0)
    flow.comes = [1, 2]
    assert flow.run() == ["0", "1", "2"]
    assert flow.waits == 2  # nobody could know that three are all
    flow.gathering.stopped = False
    for _ in range(3):
        flow.call(1)
        flow.comes = [0, 2]
        assert flow.run() == ["1", "0", "2"]
    assert flow.waits == 5  # for those two each time, and for nobody else


def test_who_came_while_the_last_batch_ran_counts() -> None:
    flow = Flow()
    flow.call(0)
    flow.run()
    flow.gathering.stopped = False
    flow.call(0)
    first = flow.waiting.popleft()
    first.caller.take(first)
    entries = flow.gathering.gather(first, 64, LONG)
    flow.call(1)  # it runs by now
    first.caller.answer(first.call.number, "ok")
    flow.gathering.handed_over(entries)
    waits = flow.waits
    flow.comes = [0]
    assert flow.run() == ["1", "0"]
    assert flow.waits == waits + 1


def test_those_that_are_not_answered_are_not_waited_for() -> None:
    flow = Flow()
    flow.call(0, 1, 2)
    first = flow.waiting.popleft()
    first.caller.take(first)
    flow.gathering.handed_over(flow.gathering.gather(first, 3, LONG))  # coroutines: they go on
    flow.call(3)
    assert flow.run() == ["3"]
    assert flow.waits == 0


def test_a_full_batch_waits_for_nobody_and_the_order_stays() -> None:
    flow = Flow()
    flow.call(0, 1)
    flow.call(2, method="another")
    flow.call(2, 0, 1, 3)
    assert flow.run(most=4) == ["0", "1", "0", "1"]
    assert [(entry.caller.id, entry.call.method) for entry in flow.waiting] == [
        ("2", "another"), ("2", "one"), ("3", "one"),
    ]  # fmt: skip
    assert flow.waits == 0
