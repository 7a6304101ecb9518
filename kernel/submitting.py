"""`cm.submit`: many calls, one open job per cell.

Owns when that job is opened and sealed. Never waits. A call whose arguments hold unfinished Futures is sent
once they are done. Read next: `futures.py`, `packing.py`.
"""

import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from cellmesh.scheduler.wire.messages import TaskWire
from cellmesh.scheduler.worker import lending

from . import packing, unattended
from .futures import Future
from .jobs import Job, Record
from .options import Options
from .session import Session

ROLL_TASKS = 1000
ROLL_SECONDS = 1.0


class Submissions:
    """The open submit jobs of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: dict[bool, _Open] = {}  # by background
        self._lock = threading.RLock()
        session.hooks.on_end.append(self.seal)

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        title: str,
        o: Options,
        after: Sequence[concurrent.futures.Future[Any]] = (),
    ) -> Future:
        """`after`: the call is sent once these are done, however they end."""
        session = self._session
        prefix = session.engine.object_prefix()
        __tracebackhide__ = True
        try:
            blob = packing.pack(function, prefix)
            packed = packing.pack((args, kwargs), prefix)
        except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
            given = [(f"argument {i} of `{title}`", part) for i, part in enumerate(args, start=1)]
            given += [(f"argument `{name}` of `{title}`", part) for name, part in kwargs.items()]
            raise packing.explained(error, [("your function", function), *given]) from None
        waits = [*after, *blob.waits, *packed.waits]
        with self._lock:
            batch = self._batch(title, o)
            future = batch.add(title)
        holds = [*blob.holds, *packed.holds]

        def task() -> TaskWire:
            wire = o.wire(session)
            return TaskWire(
                index=future.index,
                verb="call",
                payload=packed.finish(prefix),
                blobs=[session.put_blob(blob.finish(prefix)), *filter(None, [wire["retry_on"]])],
                seeds=None if o.seed is None else [o.seed],
                **wire,
            )

        def send_later() -> None:
            if future.done():
                batch.sent(None)  # cancelled while it waited
                return
            try:
                ready = task()
            except BaseException as error:  # noqa: BLE001 - what a Future in the arguments raised is this one's outcome
                batch.sent(None)
                future.fail(error)
                session.bell.ring()
                return
            batch.sent(ready, holds)

        if waits:
            packing.when_done(waits, send_later)
        else:
            batch.sent(task(), holds)
        return future

    def seal(self) -> None:
        """No more calls will join the open jobs: the cell has ended."""
        with self._lock:
            for batch in self._open.values():
                batch.seal()
            self._open.clear()

    def seal_idle(self) -> None:
        """Before jobs are shown: one whose calls are all over would be `running` as long as it is open."""
        with self._lock:
            for background, batch in list(self._open.items()):
                if batch.idle():
                    batch.seal()
                    del self._open[background]

    def _batch(self, title: str, o: Options) -> "_Open":
        found = self._open.get(o.background)
        if found is not None and found.takes_more():
            return found
        if found is not None:
            found.seal()
        batch = _Open(self._session, self._session.launch("submit", title, background=o.background))
        self._open[o.background] = batch
        return batch


def submissions_of(session: Session) -> Submissions:
    """The session's one `Submissions`."""
    found = session.submissions
    if found is None:
        found = session.submissions = Submissions(session)
    assert isinstance(found, Submissions)
    return found


class _Open:
    """One job that still takes calls."""

    def __init__(self, session: Session, job: Job) -> None:
        self._session = session
        self.job = job
        self._futures: dict[int, Future] = {}
        self._count = 0
        self._unsent = 0
        self._unwanted = 0  # over before they were sent
        self._sealing = False
        self._used = time.monotonic()
        self._lock = threading.RLock()
        job.add_listener(self._hear)
        unattended.watch(job)

    def takes_more(self) -> bool:
        if self._sealing or self.job.finished or self.job.cancelled:
            return False
        here, cell = self._session.hooks.current, self.job.cell
        if (here and here.msg_id) != (cell and cell.msg_id) or self.job.parent != lending.parent():
            return False
        recent = time.monotonic() - self._used < ROLL_SECONDS
        return self._count < ROLL_TASKS and (here is not None or recent)

    def idle(self) -> bool:
        """Whether all of its calls are over."""
        return self.job.over + self._unwanted == self._count

    def add(self, title: str) -> Future:
        with self._lock:
            future = Future(self._session, title, self.job, self._count)
            self._futures[self._count] = future
            self._count += 1
            self._unsent += 1
            self._used = time.monotonic()
            return future

    def sent(self, task: TaskWire | None, holds: list[Any] | None = None) -> None:
        try:
            if task is not None:
                self.job.submit([task], False, holds=holds or ())
        finally:
            # Only now: were it counted first, another thread could seal the job before this task is in it.
            with self._lock:
                self._unsent -= 1
                self._unwanted += task is None
                last = self._sealing and self._unsent == 0
        if last:
            self.job.submit([], True)

    def seal(self) -> None:
        with self._lock:
            if self._sealing:
                return
            self._sealing = True
            last = self._unsent == 0
        if last and not self.job.finished:
            self.job.submit([], True)

    def _hear(self, record: Record, items: Any) -> None:
        if items is None:
            future = self._futures.pop(record.index, None)
            if future is not None:
                future.resolve(record)
