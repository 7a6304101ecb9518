"""Who calls, and the calls that they have made.

Owns the records `Caller` and `Entry`, and who may take an entry: a call belongs to whoever takes it out of
`waiting` (one `dict.pop`, so that a cancel and the thread that runs it never both answer). Never runs
anything. Read next: `door.py`, `calling.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.objects.shelf import Bag
from cellmesh.scheduler.wire.direct import Answer, Call, Kept, Said, Yielded
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.messages import Output, Payload, Ref


class Entry:
    """One call, from its arrival to its answer."""

    __slots__ = ("attempt", "call", "caller", "cancelled", "stop", "stream", "voice", "whole")

    def __init__(self, caller: Caller, call: Call) -> None:
        self.caller = caller
        self.call = call
        self.attempt = 0  # of `Interrupts`, once it runs in the main thread
        self.cancelled = False
        self.stop: Any = None  # interrupts it, once it runs
        self.stream: Any = None  # once it yields
        self.voice: Any = None  # where it prints, once it has
        self.whole: bytes | None = None  # what was in the segment of its payload, if that may be gone


class Caller:
    """One that greeted. It may go and come again: the same `id` is the same caller."""

    def __init__(
        self,
        id: str,
        name: str,
        begins: Callable[[Caller, Call], None] | None = None,
        ends: Callable[[Caller, int], None] | None = None,
        others: Callable[[Caller], int] = lambda _: 0,
    ) -> None:
        self.id = id
        self.name = name
        self._begins = begins  # told of each call before it runs
        self._ends = ends  # and after
        self._others = others  # how many calls all the others have here
        self.place = -1  # of its marks, once it has called
        self.heard = 0  # the highest number that has come from it
        self.done = 0  # with replay: the last call that is part of the state
        self.kept: dict[int, Answer] | None = None  # with replay: answers that it has not taken
        self.road: Framed | None = None  # None: it is gone
        self.waiting: dict[int, Entry] = {}
        self.running: dict[int, Entry] = {}
        self._lent: set[str] = set()  # segments that it has not taken yet
        self._held: dict[int, Bag] = {}  # what its results left here

    def take(self, entry: Entry) -> bool:
        """Whether this entry is the asking thread's to run: nobody has cancelled it."""
        number = entry.call.number
        self.running[number] = entry  # first: a cancel finds it in one of the two
        if self.waiting.pop(number, None) is None:
            self.running.pop(number, None)
            return False
        if self._begins is not None:
            self._begins(self, entry.call)
        return True

    @property
    def load(self) -> int:
        """How many calls it has here."""
        return len(self.waiting) + len(self.running)

    def say(self, message: Any) -> None:
        """Have it told. Any thread; sent with the next flush."""
        road = self.road
        if road is not None:
            road.post(message)

    def answer(self, number: int, state: Any, payload: Payload = b"", bag: Bag | None = None) -> None:
        """The call is over. What its result leaves here is in the bag."""
        self.running.pop(number, None)
        if self._ends is not None:
            self._ends(self, number)
        kept = None
        if bag is not None:
            kept = Kept(bag.key, bag.nbytes, bag.places)
            self._held[bag.key] = bag
        if type(payload) is Ref:
            self._lend(payload)
        answer = Answer(number, state, payload, kept, self._others(self))
        if self.kept is not None:
            self.kept[number] = answer
        self.say(answer)
        if self.road is None:
            self._held.clear()  # nobody can ask for it

    def yielded(self, number: int, payload: Payload, count: int) -> None:
        """The next items of a stream."""
        if type(payload) is Ref:
            self._lend(payload)
        self.say(Yielded(number, payload, count))

    def unclaimed(self) -> list[Answer]:
        """Answers that were kept for it."""
        return list((self.kept or {}).values())

    def said(self, number: int, output: Output) -> None:
        """What a call printed or displayed."""
        if type(output.data) is Ref:
            self._lend(output.data)
        self.say(Said(number, replace(output, job=0, task=0)))

    def lend(self, *names: str) -> None:
        """These segments are kept until it has taken them."""
        self._lent.update(names)

    def took(self, numbers: list[int], names: list[str], kept: Sequence[int] = ()) -> None:
        """These answers and these segments are in its hands; what was kept by these keys it needs no more."""
        for key in kept:
            self._held.pop(key, None)
        if self.kept is not None:
            for number in numbers:
                self.kept.pop(number, None)
        mine = [name for name in names if name in self._lent]
        self._lent.difference_update(mine)
        makers.freed(mine)

    def gone(self) -> None:
        """It hung up: nobody takes what was sent any more."""
        self.road = None
        self.took([], list(self._lent), list(self._held))

    def _lend(self, payload: Ref) -> None:
        self._lent.add(payload.name)
        if self.road is None:
            self.took([], [payload.name])
