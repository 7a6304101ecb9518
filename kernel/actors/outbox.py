"""The calls of one actor that are not answered: those that wait to be sent, and those that are under way.

Owns their order, and what is sent again over the next connection. Never connects: `reach.py` does; never
settles a call: it returns those that are lost. Its methods are called under its caller's lock.
Read next: `caller.py`, `pending.py`.
"""

from collections import deque

from cellmesh.kernel import cells
from cellmesh.scheduler.wire import direct

from .pending import Pending
from .reach import Reach


class Outbox:
    """Of one caller."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._incarnation = 0  # that was met last
        self._queue: deque[Pending] = deque()  # not sent
        self._sent: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._sent) + len(self._queue)

    def __contains__(self, number: int) -> bool:
        return number in self._sent

    def get(self, number: int) -> Pending | None:
        """A call that is under way. Any thread."""
        return self._sent.get(number)

    def add(self, one: Pending) -> None:
        """Send it, now or in its turn."""
        if one.ready and self._reach.open and not self._queue:
            self._sent[one.number] = one
            self._send(one, again=False)
        else:
            self._queue.append(one)

    def pump(self) -> None:
        """Send what can be sent, in order."""
        queue = self._queue
        while queue and self._reach.open:
            one = queue[0]
            over = one.taker.done()  # cancelled, or its arguments failed
            if not (one.ready or over):
                return  # it waits for Futures, and all others behind it
            queue.popleft()
            if over:
                one.free()
            else:
                self._sent[one.number] = one
                self._send(one, again=False)

    def _send(self, one: Pending, *, again: bool) -> None:
        call = direct.Call(one.number, one.method, one.payload, one.kind, again, one.room)
        self._reach.post(call, prompt=len(self._sent) == 1)

    def is_over(self, number: int) -> bool:
        """Whether nobody waits for it here. Any thread."""
        one = self._sent.get(number)
        return one is None or one.taker.done()

    def answered(self, number: int) -> Pending | None:
        """It is over; None if it is not known any more. Any thread."""
        one = self._sent.pop(number, None)
        if one is not None:
            one.free()
        return one

    def stuck(self) -> Pending | None:
        """One that nobody wants any more, and that is not over in the actor. Any thread."""
        return next((one for one in list(self._sent.values()) if one.taker.done()), None)

    def those_of(self, cell: cells.Cell) -> list[Pending]:
        """What this cell has called. Any thread."""
        ours = [*self._sent.values(), *self._queue]
        return [one for one in ours if one.taker.cell is not None and one.taker.cell.msg_id == cell.msg_id]

    def clear(self) -> list[Pending]:
        """None will be answered."""
        lost = [*self._sent.values(), *self._queue]
        self._sent.clear()
        self._queue.clear()
        for one in lost:
            one.free()
        return lost

    def meet(self, met: direct.Met) -> tuple[list[Pending], int]:
        """Go on over a new connection. Those of which it is not known whether they ran; and the incarnation
        that was met before, 0 if this is the first."""
        before, self._incarnation = self._incarnation, met.incarnation
        begun = max(met.begun, default=0)
        pending = set(met.pending)
        lost: list[Pending] = []
        for number, one in sorted(self._sent.items()):
            if number <= met.done:
                continue  # it has run, and its answer comes by itself
            if number in pending and one.kind != "stream":
                continue  # it goes on
            may = one.method in met.retry and not one.flows
            if (number > begun and number > met.heard) or may:
                self._send(one, again=True)
                continue
            if number in pending:
                self._reach.post(
                    direct.CancelCall(number), prompt=False
                )  # items may have been lost on the way
            del self._sent[number]
            one.free()
            lost.append(one)
        self.pump()
        return lost, before
