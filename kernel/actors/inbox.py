"""What an actor says, on its way to whoever waits for it.

Owns what it is told to have been taken: large results are loaded as they come, for the memory is the actor's,
and it makes the next ones of it. Called by whoever reads. Read next: `caller.py`, `outbox.py`.
"""

from typing import TYPE_CHECKING, Any

from cellmesh.kernel import outcomes
from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.messages import Item, Ref
from cellmesh.widgets import text

from .holding import Holding
from .outbox import Outbox

if TYPE_CHECKING:
    from .caller import Caller
    from .directory import Directory

AT_ONCE = 64
"""Answers after which the actor is told that they have come, even if there is nothing else to say."""


class Inbox:
    """Of one caller."""

    def __init__(self, caller: "Caller", directory: "Directory", outbox: Outbox) -> None:
        self._caller = caller
        self._directory = directory
        self._outbox = outbox
        self._numbers: list[int] = []
        self._names: list[str] = []
        self.far = ""  # how far what runs is, by its own word

    def take(self, messages: list[Any]) -> None:
        """Hand on what has come."""
        for message in messages:
            kind = type(message)
            if kind is direct.Answer:
                self._answer(message)
            elif kind is direct.Yielded:
                self._yielded(message)
            elif kind is direct.Said:
                self._said(message)
            elif kind is direct.Far:
                self.far = text.inside(message.done, message.total, message.text)
            else:
                self._caller.told(message)
        if self._names or len(self._numbers) >= AT_ONCE:
            took = direct.Took(self._numbers, self._names)
            self._numbers, self._names = [], []
            self._caller.post(took, prompt=bool(took.names))

    def _answer(self, answer: direct.Answer) -> None:
        number, payload = answer.number, answer.payload
        self._numbers.append(number)
        self._caller.others = answer.others
        self.far = ""
        holding = None if answer.kept is None else Holding(self._caller, answer.kept, payload)
        if type(payload) is Ref and holding is None:
            self._names.append(payload.name)
        if answer.state == "cancelled" and not (self._caller.local or self._outbox.is_over(number)):
            return  # nobody asked for that: its process is being ended, and the hub says what becomes of it
        one = self._outbox.answered(number)
        if one is None:
            return  # it was cancelled, or is answered twice
        taker, ok = one.taker, answer.state == "ok"
        if answer.state == "cancelled":
            taker.cancel()
        elif holding is not None:
            taker.hold(holding)
            taker.settle(Item(0, ok, payload))  # not loaded: that would fetch what the actor keeps
        elif type(payload) is Ref:
            value, error = outcomes.value_of(Item(0, ok, payload), taker.title)
            taker.give(value) if error is None else taker.fail(error)
        else:
            taker.settle(Item(0, ok, payload))
        if answer.state == "failed":
            self._directory.failed(taker)

    def _yielded(self, items: direct.Yielded) -> None:
        if type(items.payload) is Ref:
            self._names.append(items.payload.name)
        one = self._outbox.get(items.number)
        if one is not None:
            one.taker.take(items.payload, items.count)

    def _said(self, said: direct.Said) -> None:
        self._directory.said(self._caller, self._outbox.get(said.number), said.output)
        if isinstance(said.output.data, Ref):
            self._names.append(said.output.data.name)  # it has been shown, or never will be
