"""What an actor answered, on its way to whoever waits for it.

Owns what the actor is told to have been taken: large results are loaded as they come, for the memory is the
actor's, and it makes the next ones of it. Read next: `caller.py`.
"""

from collections.abc import Callable
from typing import Any

from cellmesh.kernel import outcomes
from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.messages import Item, Output, Payload, Ref

AT_ONCE = 64
"""Answers after which the actor is told that they have come, even if there is nothing else to say."""


class Inbox:
    """Of one caller."""

    def __init__(self, tell: Callable[[direct.Took], None]) -> None:
        self._tell = tell
        self._numbers: list[int] = []
        self._names: list[str] = []

    def answer(self, taker: Any, number: int, state: str, payload: Payload) -> None:
        """Hand it to its taker; None if nobody waits for it any more."""
        self._numbers.append(number)
        if isinstance(payload, Ref):
            self._names.append(payload.name)
        if taker is None:
            return  # it was cancelled, or is answered twice
        if state == "cancelled":
            taker.cancel()
        elif isinstance(payload, Ref):
            value, error = outcomes.value_of(Item(0, state == "ok", payload), taker.title)
            taker.give(value) if error is None else taker.fail(error)
        else:
            taker.settle(Item(0, state == "ok", payload))

    def yielded(self, taker: Any, payload: Payload, count: int) -> None:
        """Hand on items of a stream."""
        if isinstance(payload, Ref):
            self._names.append(payload.name)
        if taker is not None:
            taker.take(payload, count)

    def said(self, output: Output) -> None:
        """It has been shown, or never will be."""
        if isinstance(output.data, Ref):
            self._names.append(output.data.name)

    def tell(self) -> None:
        """After a burst: say what was taken, if that is due."""
        if self._names or len(self._numbers) >= AT_ONCE:
            took = direct.Took(self._numbers, self._names)
            self._numbers, self._names = [], []
            self._tell(took)
