"""A result that is on its way.

Owns `Future`, a `concurrent.futures.Future` that is also awaitable. Its result stays pickled until asked for.
Never submits anything. Callbacks run in the engine's thread: keep them short. Read next: `outcomes.py`,
`packing.py`, `submitting.py`.
"""

import concurrent.futures
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.objects import codec, frames
from cellmesh.scheduler.wire.messages import Item, Payload, Ref

from . import outcomes
from .jobs import Job, Record
from .session import Session

_CANCELLED = frozenset({"CANCELLED", "CANCELLED_AND_NOTIFIED"})


class Calls(Protocol):
    """What a Future asks of where it comes from (`backlog.py`)."""

    def withdraw(self, future: "Future") -> None:
        """It has been cancelled."""

    def hand_over(self) -> None:
        """Send all calls that wait to be sent with others."""

    def taken(self, sent: Any) -> bool:
        """Its result is with the user; whether that was the last of its task."""


class Future(concurrent.futures.Future):  # type: ignore[type-arg]
    """The result of one `cm.submit`, or an object that `cm.put` placed in shared memory."""

    # Of the class, as long as nothing else is known: there may be a million of them.
    _place = 0  # in the task
    forgone = False  # not wanted if it has not begun
    _calls: Calls | None = None
    _sent: object = None
    _item: Item | None = None
    _value: Any = None
    _error: BaseException | None = None
    _decoded = False
    _kept = ""  # the segment that `cm.put` made
    _holds: Sequence["Future"] = ()
    stays = False  # loading its payload fetches what is on an actor's GPU

    def __init__(self, session: Session, title: str, job: Job | None = None, index: int = -1) -> None:
        # As the base class has it, but for its condition, which costs more than all the rest.
        self._condition = _Lock()
        self._state = "PENDING"
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        self._session = session
        self._job = job
        self._index = index  # of the task in its job; -1 as long as it has not been sent
        self._title = title
        self._claimed = job is None

    # --- as concurrent.futures has it -------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result, or raise what the task raised. Large arrays are read-only: `.copy()`."""
        self._wait(timeout)
        self._decode()
        if self._error is not None:
            try:
                raise frames.fresh(self._error)
            finally:
                self = None  # type: ignore[assignment]  # as the stdlib: no cycle through the traceback
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, and return what the task raised, or None."""
        self._wait(timeout)
        self._decode()
        return self._error

    def cancel(self) -> bool:
        """Cancel the task, also if it is running already; False if it is done."""
        if self.done():
            return super().cancelled()
        if not super().cancel():
            return False
        self._notify_cancelled()
        if self._calls is not None:
            self._calls.withdraw(self)
        elif self._job is not None:
            self._job.cancel(tasks=[self._index])
        if self._index >= 0:
            self._take()  # nobody can have a result of it any more
        self._session.bell.ring()
        return True

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """As concurrent.futures has it; whoever asks for a callback hears of a failure."""
        if self._job is not None:
            self._job.attended = True
        super().add_done_callback(fn)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    def __repr__(self) -> str:
        if not self.done():
            state = "pending"
        elif super().cancelled():
            state = "cancelled"
        elif self._item is not None and not self._item.ok:
            self._decode()
            state = f"failed, {type(self._error).__name__}"
        elif self._item is None and self._error is not None:
            state = f"failed, {type(self._error).__name__}"
        else:
            size = codec.size_of(self._item.payload) if self._item else 0
            state = f"done, {size:,d} bytes"
        return f"<cellmesh.Future {self._title}: {state}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "A cellmesh Future cannot be pickled by itself. Pass it to cm.submit or cm.map as an argument "
            "(also inside lists and dicts), or take its .result() first."
        )

    def __del__(self) -> None:
        # May run anywhere, also inside the engine's own code: only note it; the session tells later.
        session = getattr(self, "_session", None)
        if session is None or session.dying:
            return
        if not self._claimed and self._job is not None and self._is_last():
            session.claims.append((self._job.id, [self._index]))
        if self._kept:
            session.drops.append(self._kept)
        if self._kept or (self._item is not None and isinstance(self._item.payload, Ref)):
            session.engine.nudge()  # there is memory to be freed, whatever the user does next

    @property
    def dask(self) -> Any:
        """The same result as a Future of Dask's, if we are connected to a Dask cluster.

        >>> fut = cm.submit(load, path)
        >>> client.submit(numpy.mean, fut.dask)
        """
        if self._index < 0 and self._calls is not None:
            self._calls.hand_over()
        job = 0 if self._job is None else self._job.id
        return self._session.engine.future_there(job, self._index, self._place, self.payload)

    # --- as cellmesh needs it -----------------------------------------------------------------------

    def wait_for(self, done: Callable[[], bool], timeout: float | None) -> None:
        """Wait until `done()`, which this or something else makes true; TimeoutError if it does not."""
        assert self._job is not None  # else it has been there from the start
        self._job.wait_for(done, timeout)

    @property
    def session(self) -> Session:
        """In which it was launched."""
        return self._session

    @property
    def job(self) -> Job | None:
        """The launch that this belongs to; None for `cm.put`."""
        return self._job

    @property
    def index(self) -> int:
        """The task's index in its job."""
        return self._index

    def payload(self) -> Payload:
        """The pickled result of a finished Future; raises what the task raised."""
        if self._item is None or not self._item.ok:
            value = self.result()
            self._item = Item(0, True, codec.dumps(value))  # it came with others
        return self._item.payload

    def resolve(self, record: Record) -> None:
        """From the engine's thread: the task is over."""
        if self.done():
            return
        item = record.item(self._place)
        if item is not None:
            self.settle(item)
        elif record.state == "cancelled":
            if super().cancel():
                self._notify_cancelled()
        else:
            assert self._job is not None
            self.fail(outcomes.ending_of(self._job, record, self._title))

    def belongs(self, calls: "Calls") -> None:
        """These calls are where it comes from: they are told when it is cancelled or taken."""
        self._calls = calls

    def sent(self, index: int, place: int, sent: object) -> None:
        """Its call has left, as this item of this task."""
        self._index, self._place, self._sent = index, place, sent

    def give(self, value: Any) -> None:
        """This is the result; it came decoded, with others."""
        if not self.done():
            self._value, self._decoded = value, True
            with suppress(concurrent.futures.InvalidStateError):  # cancelled just now
                super().set_result(None)

    def settle(self, item: Item) -> None:
        """This is the result."""
        if self.done():
            return
        self._item = item
        with suppress(concurrent.futures.InvalidStateError):  # cancelled just now
            if item.ok:
                super().set_result(None)  # decoded when asked for
            else:
                super().set_exception(_Failed())

    def fail(self, error: BaseException) -> None:
        """There will be no result."""
        if self.done():
            return
        self._error, self._decoded = error, True
        with suppress(concurrent.futures.InvalidStateError):  # cancelled just now
            super().set_exception(error)

    def failed(self) -> bool:
        """Whether it is done and has no result."""
        if not self.done():
            return False
        return (
            self._error is not None or super().cancelled() or (self._item is not None and not self._item.ok)
        )

    def keep(self, name: str, holds: Sequence["Future"] = ()) -> None:
        """This Future owns a segment, dropped with it; what that refers to, the Futures in `holds` own."""
        self._kept, self._holds = name, holds

    def _notify_cancelled(self) -> None:
        with self._condition:  # two may have cancelled it at once; the standard library takes that ill
            if self._state == "CANCELLED":
                super().set_running_or_notify_cancel()

    def _is_last(self) -> bool:
        """Whether with this one all results of its task are with the user."""
        if self._calls is None:
            return True
        return self._sent is not None and self._calls.taken(self._sent)

    async def _awaited(self) -> Any:
        import asyncio  # here: a script that awaits nothing does not pay for it

        if not self.done() and self._job is not None:
            try:
                await self._job.wait_for_async(self.done)
            except asyncio.CancelledError:
                if self._own():  # else Stop only abandons the wait for another cell's work
                    self.cancel()
                raise
        if super().cancelled():
            raise asyncio.CancelledError(f"{self._title} was cancelled.")
        return self.result(0)

    def _own(self) -> bool:
        current = self._session.hooks.current
        cell = self._job.cell if self._job else None
        return self._job is None or (cell and cell.msg_id) == (current and current.msg_id)

    def _wait(self, timeout: float | None) -> None:
        if self.done():
            return
        if self._job is None:
            raise EngineError(f"{self._title} is not on its way.")
        self._job.wait_for(self.done, timeout)

    def _decode(self) -> None:
        if self._job is not None:
            self._job.attended = True
            self._session.router.release(self._job)
        if self._state in _CANCELLED:
            raise concurrent.futures.CancelledError(f"{self._title} was cancelled.")
        if not self._decoded:
            assert self._item is not None
            self._value, self._error = outcomes.value_of(self._item, self._title)
            self._decoded = True
        if self._item is None or not isinstance(self._item.payload, Ref):
            # A segment may still be wanted as an argument elsewhere: it is claimed when the Future goes.
            self._take()

    def _take(self) -> None:
        """The user has it: the engine may forget it."""
        if not self._claimed and self._job is not None:
            self._claimed = True
            if self._is_last():
                self._job.claim([self._index])


class _Lock(type(threading.RLock())):  # type: ignore[misc]
    """A Future's condition that nobody waits for: whoever waits for a Future of ours sleeps on the bell.

    One of the standard library's is entered by Python code: a KeyboardInterrupt in there leaves it locked for
    ever, and the engine's thread waits for it with all that it has to tell.
    """

    def notify_all(self) -> None:
        """Nobody waits."""


class _Failed(Exception):  # noqa: N818 - never seen: stands for an exception that has not been decoded yet
    pass
