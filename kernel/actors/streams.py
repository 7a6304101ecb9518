"""What a generator method yields, as it comes: `for token in h.generate(prompt)`.

Owns how far ahead of its consumer the generator may be. Leaving the loop ends it in the actor, too. Never
sends by itself. Read next: `caller.py`, `handle.py`.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

from cellmesh.kernel import outcomes
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Item, Payload, Ref

from . import waits
from .caller import Caller

FIRST_ROOM = 32
MOST_ROOM = 2048
SMALL = 4096
"""Items of so many bytes: more of them may wait for their consumer, up to `MOST_ROOM`."""


class Flow:
    """What has come and was not taken; the caller's side of a stream."""

    def __init__(self, caller: Caller, number: int, title: str) -> None:
        self.number = number
        self.title = title
        self.cell = caller.session.hooks.current
        self.caller = caller
        self._batches: deque[tuple[Any, int]] = deque()  # pickled, or a list of values
        self._error: BaseException | None = None
        self._over = False
        self.begun = False  # items have come
        self._room = FIRST_ROOM
        self._taken = 0  # since more was asked for

    def ready(self) -> bool:
        """Whether there is an item, or it is known that there is none."""
        return bool(self._batches) or self._over

    def batch(self) -> list[Any]:
        """The next items; raises StopIteration at the end, or what ended it."""
        if not self._batches:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            raise StopIteration
        payload, count = self._batches.popleft()
        values: list[Any] = codec.loads(payload) if isinstance(payload, bytes) else payload
        self._taken += count
        if not self._over and self._taken >= self._room // 2:
            more = self._taken
            if isinstance(payload, bytes) and len(payload) <= SMALL * count and self._room < MOST_ROOM:
                more += self._room
                self._room *= 2
            self._taken = 0
            self.caller.more(self.number, more)
        return values

    # --- as the caller needs it -----------------------------------------------------------------------

    def take(self, payload: Payload, count: int) -> None:
        """These items have come."""
        self.begun = True
        if isinstance(payload, Ref):  # loaded now: the actor makes something else of the memory
            value, error = outcomes.value_of(Item(0, True, payload), self.title)
            if error is not None:
                self.fail(error)
                return
            self._batches.append((value, count))
        else:
            self._batches.append((payload, count))

    def done(self) -> bool:
        """Whether nothing more will come."""
        return self._over

    def settle(self, item: Item) -> None:
        """The generator has ended, or raised something."""
        self.give(None) if item.ok else self.fail(_error(item, self.title))

    def give(self, value: None) -> None:
        """The generator has ended."""
        self._over = True

    def fail(self, error: BaseException) -> None:
        """It will not go on."""
        if not self._over:
            self._error = error
            self._over = True

    def cancel(self) -> bool:
        """It shall not go on."""
        if self._over:
            return False
        try:
            self.fail(CancelledError(f"{self.title} was cancelled."))
        finally:  # also if Stop comes a second time
            self.caller.withdraw(self.number)
        self.caller.session.bell.ring()
        return True


class Stream:
    """What a generator method returns here; for `for` and for `async for`, once.

    for token in h.generate("hello"):
        print(token, end="")
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._items: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while not self._items:
            flow = self._flow
            try:
                waits.until(flow.caller, flow.ready, None, flow.title, quiet=True)
            except KeyboardInterrupt:
                flow.cancel()
                raise
            self._items.extend(flow.batch())
        return self._items.popleft()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        while not self._items:
            await self._flow.caller.wait_async(self._flow.ready)
            try:
                self._items.extend(self._flow.batch())
            except StopIteration:
                raise StopAsyncIteration from None
        return self._items.popleft()

    def cancel(self) -> None:
        """End the generator in the actor."""
        self._items.clear()
        self._flow.cancel()

    def close(self) -> None:
        """As generators have it: end this one in the actor."""
        self.cancel()

    async def aclose(self) -> None:
        """As asynchronous generators have it."""
        self.cancel()

    def __repr__(self) -> str:
        return f"<cellmesh stream of {self._flow.title}: {'ended' if self._flow.done() else 'running'}>"

    def __reduce__(self) -> Any:
        raise TypeError("A stream cannot be pickled: take its items first, with list(...).")

    def __del__(self) -> None:
        # May run anywhere: only note it; the session tells later.
        flow = getattr(self, "_flow", None)
        if flow is None or flow.done():
            return
        session = flow.caller.session
        if not (session.dying or session.closed):
            session.later.append(partial(_end, flow))
            session.engine.nudge()


def _end(flow: Flow) -> None:
    flow.cancel()


def _error(item: Item, title: str) -> BaseException:
    error = outcomes.value_of(item, title)[1]
    assert error is not None
    return error
