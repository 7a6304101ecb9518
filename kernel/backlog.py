"""Calls of one job between `cm.submit` and their Futures: waiting, bundled, sent, settled.

Owns the decision which calls travel together. A few go out at once, each by itself; while more wait than can
run, those that are known to be short leave as bundles, one task of many items, so that the engine pays by the
task and not by the call. What waits longer than a moment is handed over whatever is known, so that the job
survives this kernel. A bundle is never a fate: when one call is cancelled, or its worker dies, the others are
sent again by themselves. Read next: `chunking.py`, `futures.py`, `submitting.py`.
"""

import pickle
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.objects import packets
from cellmesh.scheduler.objects.packets import Packet
from cellmesh.scheduler.wire.messages import Item, Payload, Ref, TaskWire

from . import outcomes
from .chunking import Planner
from .futures import Future
from .jobs import Job, Record

AHEAD = 2
"""Tasks per slot that may be under way while others wait to be bundled."""

BUNDLE_SECONDS = 0.005
"""Work in one bundle: short, as a bundle is cancelled and retried less finely than its calls."""

PATIENCE = 0.05
"""Seconds in which a bundle with a cancelled call in it should be over; then it is stopped."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Kind:
    """Calls that may travel together: of one function, with the same options.

    It lives as long as such calls, or their function: when it goes, the engine may forget the function.
    """

    fields: dict[str, Any]  # of a `TaskWire`
    planner: Planner
    bundles: bool  # whether they may
    blob: object  # the function's, shared by its kinds


@dataclass(slots=True, eq=False)
class Call:
    """One call: its Future, and its pickled or plain (args, kwargs)."""

    future: Future
    kind: Kind
    arguments: Payload | Packet | tuple[Any, ...]
    holds: Sequence[Any] = ()
    alone: bool = False  # was in a bundle that met a death or a cancel
    seeds: list[int] | None = None


@dataclass(slots=True)
class _Sent:
    calls: list[Call]  # none any more once it is over: Futures refer to this, and must not keep each other
    size: int
    taken: "count[int]" = field(default_factory=partial(count, 1))  # results that somebody has


class Backlog:
    """The calls of one open job."""

    def __init__(self, job: Job, slots: int, on_waiting: Callable[[], None]) -> None:
        self.job = job
        self.count = 0  # of all calls
        self._window = AHEAD * slots
        self._prefix = job.session.engine.object_prefix()
        self._on_waiting = on_waiting
        self._waiting: deque[Call] = deque()
        self._sent: dict[int, _Sent] = {}
        self._watched: set[int] = set()  # bundles in which a call was cancelled
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
            self.count += 1
            self._deferred += 1
            self.job.planned = self.count

    def add(self, call: Call) -> None:
        """Take a call that was expected; it is sent now or soon."""
        with self._lock:
            self._deferred -= 1
            self._waiting.append(call)
            full = len(self._sent) >= self._window
        if full:
            self._on_waiting()
        else:
            self._send()

    def drop_expected(self) -> None:
        """It will not come after all."""
        with self._lock:
            self._deferred -= 1
        self._send()

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not (self._waiting or self._sent or self._deferred or self._sending)

    def seal(self) -> None:
        """No more calls will come."""
        with self._lock:
            self._sealing = True
        self._send(everything=True)

    def hand_over(self) -> bool:
        """Send all that waits; whether there was any."""
        waited = bool(self._waiting)
        if waited:
            self._send(everything=True)
        return waited

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
            first = not self._watched
            self._watched.add(future.index)
        if first:
            timer = threading.Timer(PATIENCE, self._stop_bundles)
            timer.daemon = True
            timer.start()

    def _stop_bundles(self) -> None:
        """Bundles of short calls still run: one of them is not short. The innocent are sent again."""
        with self._lock:
            watched, self._watched = self._watched, set()
            late = sorted(watched & self._sent.keys())
        if late:
            self.job.cancel(tasks=late)

    def taken(self, sent: Any) -> bool:
        """One more result of a task is with the user; whether that was the last."""
        assert isinstance(sent, _Sent)
        return next(sent.taken) == sent.size  # no lock: a finalizer may ask at any moment

    # --- sending ------------------------------------------------------------------------------------

    def _send(self, *, everything: bool = False) -> None:
        bundles: deque[tuple[int, _Sent]] = deque()
        with self._lock:
            self._sending += 1
        try:
            with self._lock:
                self._bundle(bundles, everything)
            while bundles:
                self._launch(*bundles[0])  # not under the lock: it may write megabytes
                bundles.popleft()
        finally:
            with self._lock:
                self._sending -= 1
                if bundles:  # a KeyboardInterrupt: what has not left waits again
                    self._on_waiting()
                while bundles:
                    index, sent = bundles.pop()
                    self._sent.pop(index, None)
                    self._waiting.extendleft(reversed(sent.calls))
                last = (
                    self._sealing and not self._sealed
                    and not (self._waiting or self._sending or self._deferred)
                )  # fmt: skip
                self._sealed = self._sealed or last
        if last and not self.job.refused:
            self.job.submit([], True)

    def _bundle(self, bundles: "deque[tuple[int, _Sent]]", everything: bool) -> None:
        waiting = self._waiting
        while waiting and (everything or len(self._sent) < self._window):
            first = waiting.popleft()
            if first.future.done():
                continue  # cancelled while it waited
            calls = [first]
            if first.kind.bundles and not first.alone and not isinstance(first.arguments, Ref):
                room = first.kind.planner.next(None if everything else len(waiting) + 1)
                while len(calls) < room and waiting and _joins(waiting[0], first):
                    call = waiting.popleft()
                    if not call.future.done():
                        calls.append(call)
            index = self._next
            self._next += 1
            sent = _Sent(calls, len(calls))
            bundles.append((index, sent))
            self._sent[index] = sent
            for place, call in enumerate(calls):
                call.future.sent(index, place, sent)

    def _launch(self, index: int, sent: _Sent) -> None:
        calls = sent.calls
        try:
            task = self._task(index, calls)
            self.job.submit([task], False, holds=[held for call in calls for held in call.holds])
            if any(call.future.forgone for call in calls):  # what cancelled it came before it
                alive = not all(call.future.done() for call in calls)
                self.job.session.engine.cancel(self.job.id, [index], queued=alive)
        except (EngineError, MemoryError, OSError) as error:  # the engine, or the room for arguments, is gone
            with self._lock:
                self._sent.pop(index, None)
            for call in calls:
                call.future.fail(error)
            self.job.session.bell.ring()

    def _task(self, index: int, calls: list[Call]) -> TaskWire:
        kind = calls[0].kind
        if len(calls) > 1:
            entries = [call.arguments for call in calls]
            payload = packets.join(entries, self._prefix)
            return TaskWire(index, "calls", payload, size=len(calls), **kind.fields)
        return TaskWire(index, "call", self._alone(calls[0].arguments), seeds=calls[0].seeds, **kind.fields)

    def _alone(self, arguments: Payload | Packet | tuple[Any, ...]) -> Payload:
        if isinstance(arguments, Packet):
            return packets.write(arguments, self._prefix)
        return pickle.dumps(arguments, protocol=5) if isinstance(arguments, tuple) else arguments

    # --- from the engine's thread -------------------------------------------------------------------

    def _ended(self, job: Job) -> None:
        """Nothing more will come. If the engine is gone, not even for calls that have not left."""
        if job.refused:
            with self._lock:
                calls = list(self._waiting)
                self._waiting.clear()
            for call in calls:
                call.future.fail(outcomes.ending_of(job, None))

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

    def _over(self, record: Record, sent: _Sent) -> None:
        calls, sent.calls = sent.calls, []
        calls[0].kind.planner.measured(len(calls), record.seconds)
        left = [(place, call) for place, call in enumerate(calls) if not call.future.done()]
        again: dict[int, Call] = {}
        if len(calls) > 1 and not (self.job.cancelled or self.job.refused):
            dropped = record.state == "cancelled"
            again = {place: call for place, call in left if not (dropped and call.future.forgone)}
            self.job.forgive(record, again)
        with self._lock:
            del self._sent[record.index]
            for call in reversed(again.values()):
                call.alone = True
                self._waiting.appendleft(call)
                if self.taken(sent):  # here there is nothing left to take of it
                    self.job.session.claims.append((self.job.id, [record.index]))
        for place, call in left:
            if place not in again:
                call.future.resolve(record)
        if self._waiting or self._sealing:
            self._send(everything=self._sealing)


def _joins(call: Call, first: Call) -> bool:
    return call.kind is first.kind and not call.alone and not isinstance(call.arguments, Ref)
