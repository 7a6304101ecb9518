"""Calls of a guest (an executor, joblib), which bounds how many run at once and waits for all at its end.

Owns who of them is sent, held back or over. Never decodes a result. Read next: `submitting.py`.
"""

import atexit
import concurrent.futures
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from cellmesh.scheduler.engines.contract import EngineError

from . import launching, options
from .futures import Future
from .jobs import Job
from .mapping import Results
from .session import Session
from .submitting import submissions_of

_in_use: "WeakSet[BoundedCalls]" = WeakSet()
_interpreter_ends = False


class BoundedCalls:
    """The calls of one guest that are not over. Outlives the guest as long as there are some.

    With a `limit`, a call beyond it waits for a gate: a Future that is set when an earlier one ends.
    """

    def __init__(self, session: Session, limit: int) -> None:
        # The last one registered runs first: the session must still be there.
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)
        self._session = session
        # The pool itself lets no more run than it has cores.
        self._limit = limit if limit < session.engine.capacity().cpus else None
        self._lock = threading.Lock()
        self._unfinished: set[Future] = set()
        self._begun: set[Future] = set()  # those within the limit
        self._reserved = 0  # that will be, once they are submitted
        self._held: deque[tuple[concurrent.futures.Future[None], Future]] = deque()
        self._maps: set[Job] = set()  # not over
        self._closed = False
        _in_use.add(self)

    def submit(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], title: str
    ) -> Future:
        with self._lock:
            self._check_open()
            goes = self._has_room()
            self._reserved += goes
        gate: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            submissions = submissions_of(self._session.check())
            future = submissions.submit(
                function, args, kwargs, title, options.DEFAULT, after=() if goes else (gate,)
            )
        except BaseException:
            with self._lock:
                self._reserved -= goes
            self._let_in()
            raise
        with self._lock:
            self._unfinished.add(future)
            self._reserved -= goes
            if goes:
                self._begun.add(future)
            else:
                self._held.append((gate, future))
        self._let_in()
        # Not Future's own: it would take us for someone who asks how the call ended, and a failure be silent.
        concurrent.futures.Future.add_done_callback(future, self._over)
        return future

    def map(
        self, function: Callable[..., Any], iterables: tuple[Sequence[Any], ...], title: str
    ) -> Results | None:
        """One call for all items, in chunks that suit them; None where a bound is to be kept."""
        with self._lock:
            self._check_open()
        if self._limit is not None:
            return None
        session = self._session.check()
        results = launching.map_function(session, function, iterables, {}, title, options.DEFAULT)
        with self._lock:
            self._maps.add(results.job)
        results.job.on_end.append(self._map_over)
        if results.done():
            self._map_over(results.job)
        return results

    def close(self, *, cancel: bool) -> None:
        """Take no more; `cancel`: drop those that have not begun."""
        with self._lock:
            self._closed = True
            maps = list(self._maps)
            held = [future for _, future in self._held]
            sent = self._unfinished.difference(held)
        if not cancel:
            return
        for future in held:
            future.cancel()
        by_job: dict[Job, set[int]] = {}
        for future in sent:
            if future.index < 0:  # it has not even left
                future.cancel()
            elif future.job is not None:
                future.forgone = True  # and not, as its neighbours, sent again
                by_job.setdefault(future.job, set()).add(future.index)
        for job, tasks in by_job.items():
            self._session.engine.cancel(job.id, sorted(tasks), queued=True)
        for job in maps:
            job.cancelled = True  # which its feeder sees
            self._session.engine.cancel(job.id, queued=True)

    def cancel(self) -> None:
        """End all, also what runs."""
        with self._lock:
            held = [future for _, future in self._held]
            sent = self._unfinished.difference(held)
        for future in (*held, *sent):  # in this order, for one that ends lets the next in
            future.cancel()

    def wait(self) -> None:
        """Until all are over."""
        while True:
            with self._lock:
                left = next((future for future in self._unfinished if not future.done()), None)
                mapping = next((job for job in self._maps if not job.finished), None)
            if left is not None and left.job is not None:
                left.job.wait_for(left.done)
            elif mapping is not None:
                mapping.wait()
            else:
                return

    def finish(self) -> None:
        """The interpreter ends: as the standard library does, but for a notebook, whose jobs go on."""
        if self._session.pid == os.getpid() and not self._session.hooks.interactive:
            self.wait()

    def _check_open(self) -> None:
        if _interpreter_ends:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _map_over(self, job: Job) -> None:
        with self._lock:
            self._maps.discard(job)

    def _has_room(self) -> bool:
        return self._limit is None or len(self._begun) + self._reserved < self._limit

    def _over(self, future: Any) -> None:
        """From whichever thread completes or cancels it."""
        with self._lock:
            self._unfinished.discard(future)
            self._begun.discard(future)
        self._let_in()

    def _let_in(self) -> None:
        """Open the gate of the next calls, as far as there is room; all fail if the engine is gone."""
        opened: list[concurrent.futures.Future[None]] = []
        stranded: list[Future] = []
        lost = self._session.lost
        with self._lock:
            while self._held and (lost or self._has_room()):
                gate, future = self._held.popleft()
                if lost:
                    stranded.append(future)
                    continue
                if not future.done():  # else it was cancelled while it waited
                    self._begun.add(future)
                opened.append(gate)
        for gate in opened:
            gate.set_result(None)
        for future in stranded:
            future.fail(EngineError(lost))
        if stranded:
            self._session.bell.ring()


def _at_exit() -> None:
    global _interpreter_ends
    _interpreter_ends = True
    for calls in list(_in_use):
        calls.finish()
