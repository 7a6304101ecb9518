"""Calls of one job between `cm.submit` and their Futures: waiting, bundled, sent, settled.

Owns the decision which calls travel together. A few go out at once, each by itself; while more wait than can
run, those that are known to be short leave as bundles, one task of many items, so that the engine pays by the
task and not by the call. What waits longer than a moment is handed over whatever is known, so that the job
survives this kernel. A bundle is never a fate: when one call is cancelled, or its worker dies, the others are
sent again by themselves. Read next: `bundling.py`, `chunking.py`, `futures.py`, `submitting.py`.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.wire.messages import Item, Ref

from . import outcomes
from .bundling import Bundle, Call
from .futures import Future
from .jobs import Job, Record

AHEAD = 2
"""Tasks per slot that may be under way while others wait to be bundled."""

BUNDLE_SECONDS = 0.005
"""Work in one bundle: short, as a bundle is cancelled and retried less finely than its calls."""

PATIENCE = 0.05
"""Seconds in which a cancelled call that a bundle has come to should be over; then the bundle is stopped."""


class Backlog:
    """The calls of one open job."""

    def __init__(self, job: Job, slots: int, on_waiting: Callable[[], None]) -> None:
        self.job = job
        self.count = 0  # of all calls that come
        self._window = AHEAD * slots
        self._prefix = job.session.engine.task_prefix()
        self._on_waiting = on_waiting
        self._waiting: deque[Call] = deque()
        self._sent: dict[int, Bundle] = {}
        self._watched: set[int] = set()  # bundles in which a call was cancelled
        self._watching = False  # they will be looked at
        self._next = 0
        self._deferred = 0  # calls that wait for Futures in their arguments
        self._sending = 0  # threads that hand tasks over just now
        self._sealing = False
        self._sealed = False
        self._lock = threading.RLock()
        job.add_listener(self._hear)
        job.on_end.append(self._ended)

    # --- from whoever submits -----------------------------------------------------------------------

    def expect(self) -> None:
        """A call will come: until then the job is not sealed."""
        with self._lock:
            self._count(1)
            self._deferred += 1

    def add(self, call: Call) -> None:
        """Take a call that was expected; it is sent now or soon."""
        with self._lock:
            leaves = self.take(call)
            self._count(-1)
            self._deferred -= 1
        if leaves:
            self.send()

    def drop_expected(self) -> None:
        """It will not come after all."""
        with self._lock:
            self._count(-1)
            self._deferred -= 1
        self.send()

    @property
    def full(self) -> bool:
        """Whether as much is under way as may be: a call that joins now waits."""
        return len(self._sent) >= self._window

    def take(self, call: Call) -> bool:
        """A call joins, and waits. Whether it need not: then `send`."""
        if self.full:
            self._on_waiting()  # first: then it is handed over also if this thread is interrupted next
        with self._lock:
            self._count(1)
            self._waiting.append(call)
            return not self.full

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not (self._waiting or self._sent or self._deferred or self._sending)

    def seal(self) -> None:
        """No more calls will come."""
        with self._lock:
            self._sealing = True
        self.send(everything=True)

    def hand_over(self) -> None:
        """Send all that waits."""
        if self._waiting:
            self.send(everything=True)

    def _count(self, more: int) -> None:
        self.count += more
        self.job.planned = self.count

    # --- from Futures -------------------------------------------------------------------------------

    def withdraw(self, future: Future) -> None:
        """The Future has been cancelled: have its call not run, or stopped."""
        future.forgone = True
        with self._lock:  # or it might just be on its way into a task, and be taken for waiting
            sent = self._sent.get(future.index)
        if sent is None:
            return  # it still waits, and will not be sent; or it is over
        if all(call.future.done() for call in sent.calls):
            self.job.cancel(tasks=[future.index])
            return
        with self._lock:
            self._watched.add(future.index)
        self._watch()

    def _watch(self) -> None:
        """Look in a moment whether a cancelled call runs on."""
        with self._lock:
            first, self._watching = not self._watching, True
        if first:
            timer = threading.Timer(PATIENCE, self._stop_bundles)
            timer.daemon = True
            timer.start()

    def _stop_bundles(self) -> None:
        """Stop those that are at a cancelled call: it is not short. The innocent are sent again."""
        with self._lock:
            self._watching = False
            late = [index for index in self._watched & self._sent.keys() if self._is_at_one(index)]
            self._watched.difference_update(late)
        if late:
            self.job.cancel(tasks=late)

    def _is_at_one(self, index: int) -> bool:
        """Whether a cancelled call may be what runs now. Until then, an innocent one may take long."""
        record = self.job.records.get(index)
        if record is None:
            return False  # it is being sent
        return any(
            call.future.forgone and not record.has(place) and (place == 0 or record.has(place - 1))
            for place, call in enumerate(self._sent[index].calls)
        )

    def taken(self, sent: Any) -> bool:
        """One more result of a task is with the user; whether that was the last."""
        assert isinstance(sent, Bundle)
        return sent.taken()

    # --- sending ------------------------------------------------------------------------------------

    def send(self, *, everything: bool = False) -> None:
        """Send what may leave now, or `everything`."""
        bundles: deque[tuple[int, Bundle]] = deque()
        with self._lock:
            self._sending += 1
        try:
            if self._gone:
                self._drop_waiting()
            with self._lock:
                self._bundle(bundles, everything)
            while bundles:
                self._launch(*bundles[0])  # not under the lock: it may write megabytes
                bundles.popleft()
        finally:
            with self._lock:
                self._sending -= 1
                if bundles:  # a KeyboardInterrupt (inline): what has not left waits again
                    self._on_waiting()
                while bundles:
                    index, sent = bundles.pop()
                    self._sent.pop(index, None)
                    self._waiting.extendleft(reversed(sent.calls))
                last = self._sealing and not (
                    self._sealed or self._waiting or self._sending or self._deferred
                )
                self._sealed = self._sealed or last
        if last and not self._gone:
            self.job.submit([], True)

    def _bundle(self, bundles: "deque[tuple[int, Bundle]]", everything: bool) -> None:
        waiting = self._waiting
        while waiting and (everything or not self.full):
            first = waiting.popleft()
            if first.future.done():
                self._count(-1)  # cancelled while it waited
                continue
            calls = [first]
            if first.bundles:
                room = first.kind.planner.next(None if everything else len(waiting) + 1)
                while len(calls) < room and waiting and waiting[0].kind is first.kind and waiting[0].bundles:
                    call = waiting.popleft()
                    if call.future.done():
                        self._count(-1)
                    else:
                        calls.append(call)
            index = self._next
            self._next += 1
            sent = Bundle(calls, len(calls))
            bundles.append((index, sent))
            self._sent[index] = sent
            for place, call in enumerate(calls):
                call.future.sent(index, place, sent)

    def _launch(self, index: int, sent: Bundle) -> None:
        calls = sent.calls
        try:
            task = sent.task(index, self._prefix)
            self.job.submit([task], False, holds=[held for call in calls for held in call.holds])
            if any(call.future.forgone for call in calls):  # what cancelled it came before it
                alive = not all(call.future.done() for call in calls)
                self.job.session.engine.cancel(self.job.id, [index], queued=alive)
        except (EngineError, MemoryError, OSError) as error:  # the engine, or the room for arguments, is gone
            with self._lock:
                self._sent.pop(index, None)
                self._count(-len(calls))
            for call in calls:
                call.future.fail(error)
            self.job.session.bell.ring()
            return
        if self._gone:  # just now, and what it said of its tasks was not of this one
            for call in calls:
                call.future.resolve(self._unsent())
            self.job.session.bell.ring()

    @property
    def _gone(self) -> bool:
        """Nothing more will come of this job."""
        session = self.job.session
        return bool(self.job.refused) or session.closed or self.job.id not in session.jobs

    def _drop_waiting(self) -> None:
        with self._lock:
            calls = list(self._waiting)
            self._waiting.clear()
        for call in calls:
            call.future.resolve(self._unsent())

    def _unsent(self) -> Record:
        return Record(-1, state="lost" if self.job.refused else "cancelled")

    # --- from the engine's thread -------------------------------------------------------------------

    def _ended(self, job: Job) -> None:
        """Not even what has not left will come, if the engine is gone."""
        if self._gone:
            self._drop_waiting()

    def _hear(self, record: Record, items: Sequence[Item] | None) -> None:
        sent = self._sent.get(record.index)
        if sent is None:
            return
        for item in items or ():
            if not isinstance(item.payload, Ref):
                record.items.pop(item.index, None)  # its Future has it; the job may stay open for long
            if item.count == 1:
                sent.calls[item.index].future.settle(item)
                continue
            calls = sent.calls[item.index : item.index + item.count]
            for call, value in zip(calls, outcomes.values_of(item), strict=True):
                call.future.give(value)
        if items is None:
            self._over(record, sent)
        elif record.index in self._watched:
            self._watch()  # it may have come to the one that was cancelled

    def _over(self, record: Record, sent: Bundle) -> None:
        calls, sent.calls = sent.calls, []
        if record.state in ("done", "failed"):  # else only some of them ran
            calls[0].kind.planner.measured(len(calls), record.seconds)
        left = [(place, call) for place, call in enumerate(calls) if not call.future.done()]
        again: dict[int, Call] = {}
        if len(calls) > 1 and not (self.job.cancelled or self.job.refused):
            dropped = record.state == "cancelled"
            again = {place: call for place, call in left if not (dropped and call.future.forgone)}
            self.job.forgive(record, again)
        with self._lock:
            del self._sent[record.index]
            self._watched.discard(record.index)
            for call in reversed(again.values()):
                call.alone = True
                self._waiting.appendleft(call)
                if sent.taken():  # here there is nothing left to take of it
                    self.job.session.claims.append((self.job.id, [record.index]))
        for place, call in left:
            if place not in again:
                call.future.resolve(record)
        if self._waiting or self._sealing:
            self.send(everything=self._sealing)
