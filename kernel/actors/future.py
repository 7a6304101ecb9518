"""The result of a call of an actor's method, on its way.

Owns `ActorFuture`, a Future like those of `cm.submit`. Never sends anything: `caller.py` does. Read next:
`caller.py`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cellmesh.kernel.futures import Future
from cellmesh.kernel.outputs import Speaker
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.borrowing import LostError
from cellmesh.scheduler.wire.messages import Payload, Ref

from . import waits
from .errors import brief, lost
from .holding import Holding

if TYPE_CHECKING:
    from .caller import Caller


_OVER = frozenset({"CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED"})


class ActorFuture(Future):
    """What `h.method(x)` returns."""

    _holding: Holding | None = None

    def __init__(self, caller: "Caller", number: int, title: str) -> None:
        super().__init__(caller.session, title)
        self.number = number
        self.cell = caller.session.hooks.current
        self.attended = False  # somebody has waited for it, or looked at its result
        self._caller = caller

    @property
    def title(self) -> str:
        """What was called."""
        return self._title

    def cancel(self) -> bool:
        """Cancel the call, also if it is running already; the actor keeps its state. False if it is done."""
        try:
            return super().cancel()
        finally:  # whatever a second Stop, or somebody's callback, has raised
            self._caller.withdraw(self.number)

    def stop(self) -> None:
        """As `cancel`, by Stop."""
        try:
            super().cancel()
        finally:
            self._caller.stopped(self.number)

    def done(self) -> bool:
        """Whether it is over. Who waits asks often, so no lock is taken to look."""
        return self._state in _OVER

    def add_done_callback(self, fn: Any) -> None:
        """As concurrent.futures has it; whoever asks for a callback hears of a failure."""
        self.attended = True
        super().add_done_callback(fn)
        self._caller.listen()

    def wait_for(self, done: Callable[[], bool], timeout: float | None) -> None:
        """Wait until `done()`, which this or something else makes true; TimeoutError if it does not."""
        waits.until(self._caller, done, timeout, self._title)

    def payload(self) -> Payload:
        """The pickled result of a finished Future; raises what the method raised."""
        lasts = self._holding is not None or not isinstance(self._item and self._item.payload, Ref)
        if self._item is not None and self._item.ok and lasts:
            return self._item.payload
        return codec.dumps(self.result(0))  # the actor's segment may be gone by the time that it is read

    def hold(self, holding: Holding) -> None:
        """Some of the result is with the actor, for as long as this Future lives; not if it was cancelled."""
        if not self.done():
            self._holding, self.stays = holding, True

    def __repr__(self) -> str:
        told = super().__repr__()
        return told if self._holding is None else f"{told[:-1]}, and {self._holding}>"

    def _decode(self) -> None:
        self.attended = True
        router = self._session.router
        if router.has_late(self._caller.info.id):
            router.release(Speaker(self._caller.info.id, self._caller.title, self.cell))
        super()._decode()
        if isinstance(self._error, LostError) and self._holding is not None:
            self._error = lost(self._caller.info, self._caller.title, self._title)
            self._holding = None

    def why(self) -> str:
        """Of one that failed: `ValueError: no`, in one line."""
        if self._error is None and self._item is not None and isinstance(self._item.payload, bytes):
            return brief(self._item.payload)
        return " ".join(f"{type(self._error).__name__}: {self._error}".split())[:200]

    def _own(self) -> bool:
        current = self._session.hooks.current
        return (self.cell and self.cell.msg_id) == (current and current.msg_id)

    def _wait(self, timeout: float | None) -> None:
        self.attended = True
        if self._state in _OVER:
            return
        caller = self._caller
        if waits.is_vain(caller):
            self.cancel()
            raise RuntimeError(
                f"{caller.title} waits for itself: {self._title} cannot begin before the method that waits "
                "has ended. Call it on self, wait in an async method, or start the actor with threads=2."
            )
        try:
            waits.until(caller, self.done, timeout, self._title)
        except KeyboardInterrupt:
            if self._own():
                self.stop()
            else:
                where = f" of cell {self.cell.label}" if self.cell and self.cell.label else ""
                self._session.notices.say(f"the call of {self._title}{where} goes on; its .cancel() ends it.")
            raise

    async def _awaited(self) -> Any:
        import asyncio  # here: a script that awaits nothing does not pay for it

        self.attended = True
        if not self.done():
            try:
                await self._caller.wait_async(self.done)
            except asyncio.CancelledError:
                if self._own():  # else Stop only abandons the wait for another cell's call
                    self.stop()
                raise
        if self.cancelled():
            raise asyncio.CancelledError(f"{self._title} was cancelled.")
        if self.stays:
            await asyncio.to_thread(self.exception, 0)  # it is fetched while the loop goes on
        return self.result(0)
