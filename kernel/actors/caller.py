"""This process as a caller of one actor: its calls, in order, until each is answered.

Owns their numbers, what the hub says of the actor, and that whenever there are calls and no connection
somebody is bound to bring one about or to end them: the actor's first word on a connection, the end of that,
or the hub's answer. Never pickles results. Its methods are called from any thread.
Read next: `outbox.py`, `reach.py`, `future.py`, `cellmesh/scheduler/wire/direct.py`.
"""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cellmesh.kernel import cells, packing
from cellmesh.kernel.deferring import deferred
from cellmesh.kernel.packing import Packed
from cellmesh.kernel.session import Session
from cellmesh.scheduler.objects.members import Members
from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.actors import ActorInfo

from . import stops, waits
from .errors import brief, died, refused, unknown, unreached
from .inbox import Inbox
from .outbox import Outbox
from .pending import Kind, Pending
from .reach import Reach
from .retiring import Retiring

if TYPE_CHECKING:
    from .directory import Directory, Life

END_SECONDS = 10.0


class Caller:
    """Calls of one actor by this process."""

    def __init__(self, directory: "Directory", info: ActorInfo) -> None:
        self.session: Session = directory.session
        self.info = info
        self.members: Members | None = None  # what can be called, once that is known
        self.names: set[str] = set()  # that cells of this notebook have assigned there
        self._directory = directory
        self.starter: cells.Cell | None = None  # that started it, if it was one of ours
        self._ours = False  # it was started here
        self.others = 0  # calls that others have there, as it said last
        self._reach = Reach(directory, info.id, self._heard, self._on_lost, lambda: not self._outbox)
        self._lock = threading.RLock()
        self._count = 0
        self._refused: int | None = None  # the protocol that its process speaks, if that is another
        self.retiring = Retiring(self)
        self._outbox = Outbox(self._reach)
        self._inbox = Inbox(self, directory, self._outbox)
        self.facts: dict[int, direct.Facts | None] = {}  # what `listing.py` asks; None: not answered yet

    @property
    def local(self) -> bool:
        """Whether it lives in this process, where calls run at once."""
        return self._reach.local is not None

    @property
    def prefix(self) -> str:
        """How the names begin of what is made for it; "": it cannot read this machine's memory."""
        engine = self.session.engine
        return "" if engine.actors.is_far(self.info.id) else engine.object_prefix()

    @property
    def title(self) -> str:
        """How people call it."""
        return self.info.name or self.info.title

    def why(self) -> str:
        """Why it does not answer, as far as that is known: how far it is, by its own word."""
        if self.info.state == "waiting":
            return self.info.why
        if self.info.state == "alive" and not self.open:
            return "its process is not reached"
        stuck = self._outbox.stuck()
        return self._inbox.far if stuck is None else f"{stuck.taker.title} was cancelled, and still runs"

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
                if (self.info.state == "ended" or self._refused is not None) and (error := self._gone()):
                    one.free()
                    taker.fail(error)
                    return taker
                one.ready = not packed.waits
                self._outbox.add(one)
                if not self._reach.open:
                    self._seek()
            self._reach.settle()
        if not one.ready:
            packing.when_done(packed.waits, lambda: self._prepare(one))
        return taker

    def _seek(self) -> None:
        """It is wanted: if there is no connection, have one made."""
        if not self._reach.connected and self.info.state == "alive":
            self._reach.seek(anew=True)

    def _gone(self) -> BaseException | None:
        """Why no call can succeed."""
        if self.info.state == "ended":
            return died(self.info, self.title)
        return None if self._refused is None else refused(self.title, self._refused)

    def _prepare(self, one: Pending) -> None:
        """The arguments are all there."""
        packed = one.packed
        try:
            if packed.payload is None and not one.taker.done():  # else cancelled while it waited
                one.payload = packed.finish(self.prefix)
        except Exception as error:  # noqa: BLE001 - what a Future in the arguments raised is this one's outcome
            one.taker.fail(error)
            self.session.bell.ring()
        one.ready = True
        self._pump()

    def _pump(self) -> None:
        with self._lock:
            self._outbox.pump()
        self._reach.settle()
        self.retiring.look()

    @property
    def open(self) -> bool:
        """Whether it hears what is posted now."""
        return self._reach.open

    def post(self, message: direct.ToHost, *, prompt: bool) -> None:
        """Say something to the actor, at once or with what comes next."""
        with nullcontext() if self.local else deferred():
            self._reach.post(message, prompt=prompt)

    def more(self, number: int, items: int) -> None:
        """A stream has room again."""
        self.post(direct.More(number, items), prompt=True)

    def withdraw(self, number: int) -> None:
        """A call is not wanted any more."""
        with nullcontext() if self.local else deferred(), self._lock:
            if number in self._outbox:
                self.post(direct.CancelCall(number), prompt=True)
            else:
                self._pump()  # it may have been what the others queue behind

    def stopped(self, number: int) -> None:
        """As `withdraw`, by Stop. It may be a restart's, which an actor with a name and its calls outlive."""
        if self.info.name and not self.local and number in self._outbox:
            stops.unless_restarting(lambda: self.withdraw(number))
        else:
            self.withdraw(number)

    def those_of(self, cell: cells.Cell) -> list[Any]:
        """What this cell's calls are to be answered to."""
        return [one.taker for one in self._outbox.those_of(cell)]

    # --- waiting ------------------------------------------------------------------------------------

    async def wait_async(self, done: Callable[[], bool]) -> None:
        """As `waits.until`, in a coroutine."""
        self._reach.flush()
        self.listen()
        await self.session.bell.wait_async(done)

    def read_until(self, done: Callable[[], bool], timeout: float) -> bool:
        """Read the answers here; False if they do not come in time, or somebody else reads."""
        return self._reach.read_until(done, timeout)

    def listen(self) -> None:
        """Have answers read though nobody waits for them by `waits.until`."""
        self._reach.listen()

    def meet(self) -> Members:
        """What it can do; waits until it is there."""
        with self._lock:
            self._seek()
        waits.until(self, lambda: self.open or self._gone() is not None, None, self.title)
        if self.members is None:
            raise self._gone() or died(self.info, self.title)
        return self.members

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
                if moved or not self._reach.connected or (self.local and not self.open):
                    self._go(anew=moved)
            elif info.state == "restarting":
                self._reach.leave()
        self._fail(failed, lambda one: died(self.info, self.title))

    def _go(self, *, anew: bool) -> None:
        if anew:
            self._refused = None
        if not self._reach.greet(self.info.address, anew=anew):
            self._reach.seek()  # if that is in vain: it has died, and the hub will hear of it

    def _end(self) -> list[Pending]:
        self._reach.leave()
        failed = self._outbox.clear()
        if self._ours and not failed:
            self._tell_failure()
        return failed

    def _fail(self, lost: list[Pending], error: Callable[[Pending], BaseException]) -> None:
        """Free of the lock, for what is called back may wait for other locks."""
        for one in lost:
            one.taker.fail(error(one))
            self._directory.failed(one.taker)

    def own(self) -> None:
        """It was started here: that it cannot be made is told, whether it is called or not."""
        with self._lock:
            self._ours, self.starter = True, self.session.hooks.current
            if self.info.state == "ended":
                self._tell_failure()

    def _tell_failure(self) -> None:
        if self.info.failure:
            became = "could not be brought back" if self.info.incarnation > 1 else "was not started"
            self.session.notices.say(f"{self.title} {became}: {brief(self.info.failure)}")

    @property
    def load(self) -> int:
        """How many calls of this process it has not answered."""
        return len(self._outbox)

    def end(self, why: str) -> None:
        """End the actor; waits until its process has ended, for a while."""
        self.session.engine.actors.end(self.info.id, why)
        self.session.bell.wait(lambda: self.info.state == "ended", END_SECONDS)

    def close(self) -> None:
        """This process leaves."""
        with self._lock:
            self._reach.leave()

    # --- what comes from it: from whoever reads -------------------------------------------------------

    def _on_lost(self) -> None:
        """The connection ended. If the actor died, the hub tells; else that makes another."""
        failed: list[Pending] = []
        trouble, title = self._reach.trouble, self.title
        with self._lock:
            if self.info.state == "alive" and (self._refused is not None or not self._reach.seek()):
                failed = self._outbox.clear()
        if trouble:
            self.session.notices.say(f"the connection to {title} broke ({trouble})")
        self._fail(failed, lambda one: self._gone() or unreached(title, trouble))

    def _heard(self, messages: list[Any]) -> None:
        self._inbox.take(messages)
        self.retiring.look()

    def told(self, message: Any) -> None:
        """It has said something about itself."""
        match message:
            case direct.Met():
                self._on_met(message)
            case direct.Facts(request) if request in self.facts:
                self.facts[request] = message
            case direct.Refused(protocol):
                self._refused = protocol

    def _on_met(self, met: direct.Met) -> None:
        with self._lock:
            if met.incarnation != self.info.incarnation:
                return  # the hub has said meanwhile that it is another by now
            self.members = Members(tuple(met.methods), tuple(met.streams))
            if self._reach.open:
                return  # its class was reloaded
            self._reach.open = True
            lost, before = self._outbox.meet(met)
            same = before == met.incarnation
            if not same:
                self.names.clear()  # another process has none of them
        info, title = self.info, self.title
        if before and not same:
            self.session.notices.say(f"actor {title} goes on {met.origin}")
        self._fail(lost, lambda one: unknown(info, title, one.taker.title, broke=same, begun=one.flows))
        self.retiring.look()
        self._reach.flush()
