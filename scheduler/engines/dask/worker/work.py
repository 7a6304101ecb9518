"""Tasks of ours in a Dask worker: `execute` is what Dask runs in its threads.

Owns the runners, one for each task that runs at once, and what of their work can be asked for. Never decides
what runs where: Dask does. Read next: `hands.py`, `apart.py`, `attempts.py`, `voices.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import msgspec
from distributed import get_worker

from cellmesh.scheduler.engines.dask.between.orders import (
    REFS,
    Drop,
    News,
    Order,
    Outcome,
    Stop,
    is_dropped,
    place_of,
    read_order,
    topic,
)
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire.messages import Interpreter, Payload
from cellmesh.scheduler.worker import bars, lending

from . import threads
from .apart import Apart
from .attempts import Attempt
from .beside import Beside
from .errands import Errand
from .hands import Hand, SharedModules, held, holding
from .nests import Nests
from .room import Room
from .voices import Voices

DROPPED = 1000
"""So many jobs are remembered of which no more is wanted: Dask hears of it a moment later."""

_works: dict[str, Work] = {}  # by the id of the Dask worker: a process may have several


def execute(order: bytes, needs: Sequence[Any]) -> Outcome:
    """Run a task of ours; `needs` are its dependencies."""
    work = _works.get(get_worker().id)
    if work is None:
        raise RuntimeError("This Dask worker has no cellmesh plugin any more.")
    return work.execute(read_order(order), needs)


def keep(data: bytes) -> bytes:
    """What many tasks need: as a task of its own it is made again if its worker is lost."""
    return data


class Work:
    """Of one Dask worker."""

    def __init__(self, worker: Any, beside: Beside) -> None:
        self._worker = worker
        self._translated = beside.translated
        self._voices = Voices(worker.loop)
        self._room = Room(worker.state.nthreads, worker.memory_manager.memory_limit or 0)
        self._idle: list[Hand] = []
        self._apart = Apart(beside, self._voices.heard)
        self._nests = Nests(beside, self._voices.heard)
        self._running: dict[int, Hand | Errand] = {}  # by attempt
        self._modules = SharedModules()
        self._context = ""  # digest of the surroundings that this process has
        self._contexts: dict[str, bytes] = {}  # as they are on this host
        self._dropped: dict[tuple[str, int], int] = {}  # (session, job or 0): through which attempt
        self._seeding = threading.Lock()  # random numbers are the process's: seeded tasks run one by one
        _works[worker.id] = self
        lending.serve(1)
        bars.follow()
        segments.elsewhere(REFS, held)

    def close(self) -> None:
        """The worker closes."""
        if _works.pop(self._worker.id, None) is not None:
            lending.serve(-1)
        self._apart.close()
        self._nests.close()
        while self._idle:
            self._idle.pop().close()
        if not _works:
            segments.nowhere(REFS)
            threads.restore()

    # --- in Dask's threads ----------------------------------------------------------------------------

    def execute(self, order: Order, needs: Sequence[Any]) -> Outcome:
        """Run it in this thread, as soon as there is room."""
        with self._room.taken(order.run.task.cpus, order.run.task.memory):
            return self._execute(order, needs)

    def _execute(self, order: Order, needs: Sequence[Any]) -> Outcome:
        run = order.run
        attempt = Attempt(order, self._voices.lock, self._voices.tell)
        blobs, objects = self._sorted(order, needs)
        doing: Hand | Errand
        if run.task.isolate:
            doing = Errand(order, attempt, blobs, objects)
        else:
            doing = self._idle.pop() if self._idle else Hand(self._label(), self._modules)
            doing.expect(attempt)
        with self._voices.lock:
            self._running[run.attempt] = doing
            for job in (0, run.job):
                if is_dropped(run.attempt, self._dropped.get((order.session, job), 0)):
                    doing.interrupt()
            if not self._voices.heard(order.session):
                self._worker.log_event(topic(order.session), self._worker.address)
            attempt.begin()
        try:
            if isinstance(doing, Errand):
                self._apart.run(order.session, doing, self._contexts[run.context])
            else:
                self._run_here(doing, order, blobs, objects)
        finally:
            with self._voices.lock:
                outcome = attempt.outcome()
                del self._running[run.attempt]
        return outcome

    def _run_here(self, hand: Hand, order: Order, blobs: dict[str, Payload], objects: dict[str, Any]) -> None:
        task = order.run.task
        limit = threading.Timer(task.timeout * task.size, self._late, [order.run.attempt])
        whole = False
        try:
            if task.timeout:
                limit.daemon = True
                limit.start()
            hand.runner.context = self._context
            seeding = nullcontext() if task.seeds is None else self._seeding
            with seeding, holding(objects), self._nests.around(hand.attempt):
                hand.run(order, blobs)
                self._context = hand.runner.context
            whole = True
        except KeyboardInterrupt:  # it came as the attempt was about to end
            hand.runner.interrupts.end()
        finally:
            limit.cancel()
            if whole:
                self._idle.append(hand)
            else:
                hand.close()

    def _sorted(self, order: Order, needs: Sequence[Any]) -> tuple[dict[str, Payload], dict[str, Any]]:
        """What the order refers to: blobs by digest, and objects by name."""
        blobs: dict[str, Payload] = dict(order.blobs)
        objects: dict[str, Any] = {}
        for name, value in zip(order.held, needs, strict=True):
            if name.startswith(REFS):
                name, _, now = name.partition("|")
                objects[name] = value.content(now) if now else value
            else:
                blobs[name] = value
        context = order.run.context
        if context not in self._contexts:
            theirs = msgspec.msgpack.decode(blobs[context], type=Interpreter)  # type: ignore[arg-type]
            self._contexts[context] = msgspec.msgpack.encode(self._translated(theirs))
        blobs[context] = self._contexts[context]
        return blobs, objects

    def _label(self) -> str:
        return f"Dask worker {self._worker.name}"

    # --- what notebooks ask, in Dask's loop -----------------------------------------------------------

    async def listen(self, comm: Any, session: str) -> None:
        """Tell the news of a session to who asks, until he hangs up."""
        await self._voices.speak(comm, session, lambda: self._so_far(session), partial(self._wish, session))
        await asyncio.to_thread(self._apart.leave, session)
        await asyncio.to_thread(self._nests.leave, session)

    def _so_far(self, session: str) -> list[News]:
        running = [hand.attempt for hand in self._running.values()]
        return [news for each in running if each.session == session for news in each.so_far()]

    def _wish(self, session: str, wish: Stop | Drop) -> None:
        if isinstance(wish, Stop):
            self.stop(wish.attempt)
            return
        with self._voices.lock:
            self._drop(session, wish.job, wish.through)

    def _drop(self, session: str, job: int, through: int) -> None:
        self._dropped.pop((session, job), None)
        self._dropped[session, job] = through
        if len(self._dropped) > DROPPED:
            del self._dropped[next(iter(self._dropped))]

    def stop(self, attempt: int) -> None:
        """Interrupt this attempt, if it runs."""
        hand = self._running.get(attempt)
        if hand is not None:
            hand.interrupt()
            self._nests.stop(hand.attempt)

    def drop(self, session: str, through: int) -> None:
        """Interrupt the attempts of a session up to this one, also those that have not begun."""
        with self._voices.lock:
            self._drop(session, 0, through)
            for number, hand in self._running.items():
                if hand.attempt.session == session and is_dropped(number, through):
                    self.stop(number)

    def _late(self, attempt: int) -> None:
        """It has taken too long. In a timer's thread."""
        with self._voices.lock:
            hand = self._running.get(attempt)
            if hand is not None:
                hand.attempt.late()
                self.stop(attempt)

    def told(self, key: str) -> bytes | None:
        """What is to be told of a task that is over; None if it is not here."""
        outcome = self._worker.data.get(key)
        return outcome.told if isinstance(outcome, Outcome) else None

    def content(self, key: str, name: str) -> Any:
        """A large result; None if it is not here."""
        place = place_of(name)
        hand = self._running.get(place[0]) if place is not None else None
        if place is not None and hand is not None:
            return hand.attempt.large[place[1]]
        outcome = self._worker.data.get(key)
        return outcome.content(name) if isinstance(outcome, Outcome) else None
