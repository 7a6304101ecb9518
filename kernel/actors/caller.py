"""This process as a caller of one actor: its calls, in order, until each is answered.

Owns numbers, the queue of what waits (for Futures among the arguments, for the actor to be there) and what is
sent again after a restart. Never pickles results. Its methods are called from any thread.
Read next: `reach.py`, `future.py`, `cellmesh/scheduler/wire/direct.py`.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cellmesh.kernel import cells, packing
from cellmesh.kernel.deferring import deferred
from cellmesh.kernel.packing import Packed
from cellmesh.kernel.session import Session
from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import Payload

from . import waits
from .errors import brief, died, unknown
from .inbox import Inbox
from .pending import Kind, Pending
from .reach import Reach

if TYPE_CHECKING:
    from .directory import Directory, Life

END_SECONDS = 10.0


class Caller:
    """Calls of one actor by this process."""

    def __init__(self, directory: "Directory", info: ActorInfo) -> None:
        self.session: Session = directory.session
        self.info = info
        self.met: direct.Met | None = None
        self.names: set[str] = set()  # that cells of this notebook have assigned there
        self._directory = directory
        self._ours = False  # it was started here
        self._reach = Reach(directory, info.id, self._take, self._on_lost)
        self._lock = threading.RLock()
        self._count = 0
        self._incarnation = 0  # that was met
        self._retires = False  # it shall end once it has answered what it has
        self._queue: deque[Pending] = deque()  # not sent
        self._sent: dict[int, Pending] = {}
        self._inbox = Inbox(lambda took: self.post(took, prompt=bool(took.names)))
        self.facts: dict[int, direct.Facts] = {}  # answers to questions of `listing.py`

    @property
    def local(self) -> bool:
        """Whether it lives in this process, where calls run at once."""
        return self._reach.local is not None

    @property
    def title(self) -> str:
        """How people call it."""
        return self.info.name or self.info.title

    # --- calling ------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        packed: Packed,
        make: Callable[[int], Any],
        kind: Kind = "call",
        room: int = 0,
        life: "Life | None" = None,
    ) -> Any:
        """Send it, or have it sent in its turn; `make` makes what the answer is for."""
        with nullcontext() if self.local else deferred():
            with self._lock:
                self._count += 1
                taker = make(self._count)
                one = Pending(self._count, method, kind, packed, taker, room, life, packed.payload or b"")
                if self.info.state == "ended":
                    one.free()
                    taker.fail(died(self.info, self.title))
                    return taker
                self._queue.append(one)
            if not packed.waits:
                self._prepare(one)
                return taker
        packing.when_done(packed.waits, lambda: self._prepare(one))
        return taker

    def _prepare(self, one: Pending) -> None:
        """The arguments are all there."""
        packed = one.packed
        try:
            if packed.payload is None and not one.taker.done():  # else cancelled while it waited
                one.payload = packed.finish(self.session.engine.object_prefix())
        except Exception as error:  # noqa: BLE001 - what a Future in the arguments raised is this one's outcome
            one.taker.fail(error)
            self.session.bell.ring()
        one.ready = True
        self.pump()

    def pump(self) -> None:
        """Send what can be sent, in order."""
        with self._lock:
            while self._queue and self.open:
                one = self._queue[0]
                if not (one.ready or one.taker.done()):
                    return  # it waits for Futures, and all others behind it
                self._queue.popleft()
                if one.taker.done():  # cancelled, or its arguments failed
                    one.free()
                else:
                    self._sent[one.number] = one
                    self._send(one, again=False)
        self._retire()

    @property
    def open(self) -> bool:
        """Whether it hears what is posted now."""
        return self.met is not None and self._reach.connected

    def _send(self, one: Pending, *, again: bool) -> None:
        alone = len(self._sent) == 1
        self.post(direct.Call(one.number, one.method, one.payload, one.kind, again, one.room), prompt=alone)

    def post(self, message: direct.ToHost, *, prompt: bool) -> None:
        """Say something to the actor."""
        self._reach.post(message, prompt=prompt)

    def more(self, number: int, items: int) -> None:
        """A stream has room again."""
        self.post(direct.More(number, items), prompt=True)

    def withdraw(self, number: int) -> None:
        """A call is not wanted any more."""
        with nullcontext() if self.local else deferred(), self._lock:
            if number in self._sent:
                self.post(direct.CancelCall(number), prompt=True)
            else:
                self.pump()  # it may have been what the others queue behind

    def cancel_those_of(self, cell: cells.Cell) -> None:
        """Stop was pressed in this cell."""
        for one in [*self._sent.values(), *self._queue]:
            if one.taker.cell is not None and one.taker.cell.msg_id == cell.msg_id:
                one.taker.cancel()

    # --- waiting ------------------------------------------------------------------------------------

    def wait(
        self,
        done: Callable[[], bool],
        timeout: float | None,
        title: str,
        *,
        progress: Callable[[], tuple[int, int | None]] | None = None,
        quiet: bool = False,
    ) -> None:
        """Wait until `done()`, which must become true through this actor; TimeoutError if it does not."""
        waits.until(self, done, timeout, title, progress, quiet=quiet)

    async def wait_async(self, done: Callable[[], bool]) -> None:
        """`wait` in a coroutine."""
        self._reach.flush()
        await self.session.bell.wait_async(done)

    def read_until(self, done: Callable[[], bool], timeout: float) -> bool:
        """Read the answers here; False if they do not come in time, or somebody else reads."""
        return self._reach.read_until(done, timeout)

    def meet(self) -> direct.Met:
        """What it can do; waits until it is there."""
        if (met := self.met) is not None:
            return met
        self.wait(lambda: self.met is not None or self.info.state == "ended", None, self.title)
        if self.met is None:
            raise died(self.info, self.title)
        return self.met

    # --- what becomes of the actor: from the engine's thread -----------------------------------------

    def on_info(self, info: ActorInfo) -> None:
        """The hub says where it is, or that it is no more."""
        failed: list[Pending] = []
        with self._lock:
            if not info.title:  # nobody knows it any more
                info = replace(info, name=self.info.name, title=self.info.title)
            before, self.info = self.info, info
            if info.state == "ended":
                failed = self._end()
            elif info.state == "alive":
                moved = (before.address, before.incarnation) != (info.address, info.incarnation)
                if moved or not self._reach.connected or (self.local and self.met is None):
                    self._go()
            elif info.state == "restarting":
                self._leave()
        for one in failed:  # free of the lock: what is called back may wait for other locks
            one.free()
            one.taker.fail(died(self.info, self.title))
            self._directory.failed(one.taker)

    def _go(self) -> None:
        self.met = None
        self._reach.greet(self.info.address)

    def _leave(self) -> None:
        self.met = None
        self._reach.leave()

    def _end(self) -> list[Pending]:
        self._leave()
        failed = [*self._sent.values(), *self._queue]
        if self._ours and not failed:
            self._tell_failure()
        self._sent.clear()
        self._queue.clear()
        return failed

    def own(self) -> None:
        """It was started here: that it cannot be made is told, whether it is called or not."""
        with self._lock:
            self._ours = True
            if self.info.state == "ended":
                self._tell_failure()

    def _tell_failure(self) -> None:
        if self.info.failure:
            self.session.notices.say(f"{self.title} was not started: {brief(self.info.failure)}")

    @property
    def load(self) -> int:
        """How many calls of this process it has not answered."""
        return len(self._sent) + len(self._queue)

    def end_when_idle(self) -> None:
        """End it once it has answered all calls of this process."""
        with self._lock:
            self._retires = True
            if self.load:
                return
        self.session.engine.actors.end(self.info.id, "was not needed any more")

    def _retire(self) -> None:
        if self._retires and not self.load:
            self.session.later.append(self.end_when_idle)
            self.session.engine.nudge()

    def end(self, why: str) -> None:
        """End the actor; waits until its process has ended, for a while."""
        self.session.engine.actors.end(self.info.id, why)
        self.session.bell.wait(lambda: self.info.state == "ended", END_SECONDS)

    def close(self) -> None:
        """This process leaves."""
        with self._lock:
            self._leave()

    # --- what comes from it: from whoever reads -------------------------------------------------------

    def _on_lost(self) -> None:
        """The connection ended: if it was torn, another is made; if the actor died, the hub tells."""
        with self._lock:
            torn, self.met = self.met is not None, None
            if torn and self.info.state == "alive":
                self._go()

    def _take(self, messages: list[Any]) -> None:
        for message in messages:
            match message:
                case direct.Answer(number, state, payload):
                    self._on_answer(number, state, payload)
                case direct.Yielded(number, payload, count):
                    self._on_yielded(number, payload, count)
                case direct.Said(number, output):
                    self._directory.said(self, self._sent.get(number), output)
                    self._inbox.said(output)
                case direct.Met():
                    self._on_met(message)
                case direct.Facts(request):
                    self.facts[request] = message
        self._inbox.tell()

    def _on_answer(self, number: int, state: str, payload: Payload) -> None:
        one = self._sent.pop(number, None)
        if one is not None:
            one.free()
        self._inbox.answer(None if one is None else one.taker, number, state, payload)
        if one is not None and state == "failed":
            self._directory.failed(one.taker)
        self._retire()

    def _on_yielded(self, number: int, payload: Payload, count: int) -> None:
        one = self._sent.get(number)
        self._inbox.yielded(None if one is None else one.taker, payload, count)

    def _on_met(self, met: direct.Met) -> None:
        lost: list[Pending] = []
        with self._lock:
            fresh, self.met = self.met is None, met
            if not fresh:
                return  # its class was reloaded
            begun = max(met.begun, default=0)
            broke, self._incarnation = self._incarnation == met.incarnation, met.incarnation
            for number, one in sorted(self._sent.items()):
                if number <= met.done:
                    continue  # it has run, and its answer comes by itself
                if (number <= begun or broke) and one.method not in met.retry:
                    del self._sent[number]
                    one.free()
                    lost.append(one)
                else:
                    self._send(one, again=True)
            self.pump()
        for one in lost:  # free of the lock, as above
            one.taker.fail(unknown(self.info, self.title, one.taker.title, broke=broke))
        self._reach.flush()
