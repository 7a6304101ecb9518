"""What callers say, in whichever thread reads it.

Owns who calls, and what becomes of their words: calls wait for their turn, cancels and room for items go to
the call that they mean, questions are answered at once. Never runs a method. Read next: `callers.py`,
`turns.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cellmesh.scheduler.wire.direct import (
    DIRECT,
    AskFacts,
    Call,
    CancelCall,
    Facts,
    Fetch,
    Greet,
    Met,
    More,
    Refused,
    Returned,
    Took,
)
from cellmesh.scheduler.wire.framing import Framed

from .birth import Birth
from .borrowers import Borrower
from .callers import Caller, Entry
from .lasting import Lasting
from .living import Living
from .turns import Turns


class Hearing:
    """`facts` answers what an `AskFacts` wants to know; `lender` makes who serves a borrower."""

    def __init__(
        self,
        identity: tuple[int, int],
        living: Living,
        lasting: Lasting,
        turns: Turns,
        facts: Callable[[AskFacts], Facts],
        lender: Callable[[Framed], Borrower],
    ) -> None:
        self._identity = identity
        self._living = living
        self._lasting = lasting
        self._turns = turns
        self._facts = facts
        self._lender = lender
        self._borrowers: dict[Framed, Borrower] = {}
        self._roads: dict[Framed, Caller] = {}
        self.birth: Birth | None = None  # what the first caller is told
        self.freed = 0.0  # when segments of ours were last given back; 0: none is kept

    def hear(self, road: Framed, messages: list[Any]) -> None:
        """These have come."""
        caller = self._roads.get(road)
        waiting = self._turns.waiting
        for message in messages:
            if type(message) is Call and caller is not None:
                number = message.number
                if number <= caller.heard or number <= caller.done:
                    continue  # over a connection that was torn, or in an earlier life
                caller.heard = number
                entry = Entry(caller, message)
                caller.waiting[number] = entry
                waiting.append(entry)
            elif type(message) is Greet:
                caller = self._greeted(road, message)
            elif type(message) is Fetch:
                if message.protocol != DIRECT:
                    raise EOFError
                borrower = self._borrowers[road] = self._lender(road)
                borrower.fetch(message.key, message.places)
            elif type(message) is Returned and road in self._borrowers:
                self._borrowers[road].returned(message.index)
            elif caller is not None:
                self._told(caller, message)

    def lost(self, road: Framed) -> None:
        """That caller is gone. Its calls go on."""
        borrower = self._borrowers.pop(road, None)
        if borrower is not None:
            borrower.gone()
        caller = self._roads.pop(road, None)
        if caller is None or caller.road is not road:
            return
        caller.gone()
        self.freed = time.monotonic()
        for number, entry in [*caller.running.items(), *caller.waiting.items()]:
            if entry.call.kind == "stream":
                self._cancel(caller, number)  # nobody takes its items
        self._lasting.forget(caller)

    def meet_all(self) -> None:
        """What can be called has changed."""
        for caller in list(self._roads.values()):
            self._meet(caller)

    def tell_all(self, message: Any) -> None:
        """Whoever is connected is told."""
        for caller in list(self._roads.values()):
            caller.say(message)

    def _greeted(self, road: Framed, greet: Greet) -> Caller:
        if greet.protocol != DIRECT:
            road.post(Refused(DIRECT))
            road.send()
            raise EOFError
        caller = self._lasting.caller(greet.caller, greet.name)
        caller.road = road
        self._roads[road] = caller
        self._meet(caller)
        for answer in caller.unclaimed():
            caller.say(answer)
        if self.birth is not None:
            self.birth.hand_over(caller)
            self.birth = None
        return caller

    def _meet(self, caller: Caller) -> None:
        names, streams, retry = self._living.described()
        begun = self._lasting.begun_before(caller)
        pending = sorted({*caller.waiting, *caller.running})
        origin = self._lasting.origin
        caller.say(
            Met(*self._identity, names, streams, retry, begun, caller.done, caller.heard, pending, origin)
        )

    def _told(self, caller: Caller, message: Any) -> None:
        match message:
            case CancelCall(number):
                self._cancel(caller, number)
            case More(number, items):
                if (entry := caller.running.get(number)) is not None and entry.stream is not None:
                    self._room(entry, items)
            case Took(numbers, names, kept):
                caller.took(numbers, names, kept)
                if names:
                    self.freed = time.monotonic()
            case AskFacts():
                caller.say(self._facts(message))

    def _cancel(self, caller: Caller, number: int) -> None:
        if caller.waiting.pop(number, None) is not None:
            caller.answer(number, "cancelled")
        elif (entry := caller.running.get(number)) is not None:
            entry.cancelled = True
            if entry.stop is not None:
                entry.stop(entry)
            if entry.stream is not None and entry.stream.wake is None:
                self._room(entry, 0)

    def _room(self, entry: Entry, items: int) -> None:
        """A stream may go on, or must be closed."""
        stream = entry.stream
        if stream.add_room(items):
            if stream.wake is not None:
                stream.wake()
            else:
                self._turns.waiting.append(entry)
