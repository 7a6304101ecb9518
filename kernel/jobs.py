"""A job as the notebook sees it: what was launched, what has come back, and waiting for it.

Owns `Job`. Results stay undecoded until someone asks. Only the engine's thread writes a job's records, so
reading them needs no lock. Never shows anything. Read next: `futures.py`, `mapping.py`, `session.py`.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cellmesh.scheduler.wire.messages import Item, JobInfo, TaskWire
from cellmesh.scheduler.worker import lending

from . import cells, progress, stop, waiting
from .records import Kind as Kind, Listener as Listener, Record as Record, WorkerLost as WorkerLost

if TYPE_CHECKING:
    from .session import Session


class Job:
    """One launch: a cell, a map or the submits of a cell."""

    def __init__(
        self,
        session: "Session",
        id: int,
        kind: Kind,
        title: str,
        *,
        background: bool = False,
        cell: cells.Cell | None = None,
        number: int = 0,
    ) -> None:
        self.session = session
        self.id = id
        self.number = number  # for people: 1, 2, ... in this session
        self.kind: Kind = kind
        self.title = title
        self.background = background
        self.cell = cell
        self.parent: tuple[int, int] | None = None  # the (job, task) inside which it was launched
        self.values: Any = None
        self.records: dict[int, Record] = {}
        self.opened = time.time()
        self.first_item_at = 0.0
        self.total = 0
        self.planned = 0  # items that there will be, if that is known before they are sent
        self.done = self.failed = 0
        self.place_of: Callable[[int], int | None] | None = None  # of a task: its first item, or its worker
        self.first_failed: tuple[int, Item] | None = None  # the lowest task that failed, and its failure
        self.attended = False  # somebody has waited for it, or looked at its results
        self.on_end: list[Callable[[Job], None]] = []  # called once, as all is over
        self.on_cancel: list[Callable[[], object]] = []
        self.over = 0  # tasks that are over
        self.ends: Counter[str] = Counter()  # how they ended, also those that are forgotten
        self.sealed = False
        self.cancelled = False
        self.timed_out = False
        self.refused = ""
        self.claimed = False
        self.surviving = False  # launched by an earlier kernel of this session
        self.info: JobInfo | None = None  # the hub's word on a surviving job
        self._lock = threading.Lock()  # between `submit` and the engine's thread, for the counts
        self._listeners: list[Listener] = []
        self._holds: dict[int, list[Any]] = {}
        self.bar: progress.Progress | None = None
        self._claims: set[int] = set()

    def __repr__(self) -> str:
        return f"<cellmesh job {self.number} {self.title!r}: {self.summary()}>"

    # --- launching --------------------------------------------------------------------------------

    def submit(self, tasks: Sequence[TaskWire], last: bool, *, holds: Sequence[Any] = ()) -> None:
        """Send tasks. `holds` are kept alive until these tasks are over (Futures that they refer to)."""
        self.session.refresh_context()
        with self._lock:
            for task in tasks:
                self.records[task.index] = Record(task.index, task.size)
                self.total += task.size
                if holds:
                    self._holds[task.index] = list(holds)
            self.sealed = self.sealed or last
        self.session.engine.submit(self.id, tasks, last=last)
        if last and not tasks and self.finished:
            self.on_finished()  # all were over before it was known that no more would come
        self.session.drain_claims()

    def forgive(self, record: Record, missing: Iterable[int]) -> None:
        """These items of a task that is over go out again in others: they are not lost."""
        with self._lock:
            for index in missing:
                record.got |= 1 << index
                self.total -= 1

    def abandon(self) -> None:
        """Launching failed half-way: nothing of it stays."""
        self.cancel()
        if not self.sealed:
            self.submit([], True)
        self.claim()

    # --- state ------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """All tasks are over, and no more will come."""
        if self.refused:
            return True
        if self.surviving:  # tasks that are still queued are not known here, only how many items there are
            return self.info is not None and (
                self.info.finished
                or (self.done + self.failed >= self.info.items and self.over == len(self.records))
            )
        return self.sealed and self.over == len(self.records)

    @property
    def items(self) -> int:
        """How many items there are in all, as far as is known."""
        return self.total if self.sealed and not self.cancelled else max(self.total, self.planned)

    @property
    def running(self) -> int:
        """Items that are not over, queued ones included."""
        return 0 if self.finished else max(0, self.items - self.done - self.failed)

    def is_over(self, tasks: Iterable[int] | None = None) -> bool:
        """Whether these tasks (all, if None) are over."""
        if tasks is None or self.refused:
            return self.finished
        return all(index in self.records and self.records[index].state for index in tasks)

    def summary(self) -> str:
        """`40/100, 2 failed, running`."""
        return progress.summary(self)

    def add_listener(self, listener: Listener) -> None:
        """Hear of items and endings from now on, from the engine's thread: be quick."""
        self._listeners.append(listener)

    # --- waiting and stopping -----------------------------------------------------------------------

    def wait(self, timeout: float | None = None, tasks: Iterable[int] | None = None) -> None:
        """Wait until these tasks (all, if None) are over; TimeoutError if that takes too long.

        Shows progress if it lasts. On Stop the job is cancelled if the running cell launched it and it is not
        in the background; otherwise it goes on, and a line says how to cancel it.
        """
        chosen = None if tasks is None else list(tasks)
        self.wait_for(lambda: self.is_over(chosen), timeout)

    def wait_for(self, done: Callable[[], bool], timeout: float | None = None) -> None:
        """Wait until `done()`, which must become true through this job; as `wait` otherwise."""
        self.attended = True
        if done():
            return
        deadline = waiting.deadline_of(timeout)
        bar = progress.of(self)
        try:
            with lending.lent(), waiting.interruptible():
                while not self.session.bell.wait(done, bar.until_next(deadline)):
                    if deadline is not None and time.monotonic() >= deadline:
                        raise TimeoutError(f"{self.title}: not done within {timeout:g} s ({self.summary()})")
                    bar.show()
        except KeyboardInterrupt:
            stop.interrupted(self)
            bar.stop("stopped" if stop.own(self) else "not waited for any more")
            raise
        finally:
            bar.pause()

    async def wait_for_async(self, done: Callable[[], bool]) -> None:
        """`wait_for` in a coroutine; whoever awaits decides what being cancelled means."""
        import asyncio  # here: a script that awaits nothing does not pay for it

        self.attended = True
        bar = progress.of(self)
        try:
            with lending.lent():
                await self.session.bell.wait_async(done, bar.show)
        except asyncio.CancelledError:
            bar.stop("stopped" if stop.own(self) else "not waited for any more")
            raise
        finally:
            bar.pause()

    def cancel(self, force: bool = False, tasks: Sequence[int] | None = None) -> None:
        """Drop what is queued and interrupt what runs; `force` replaces workers that do not yield."""
        if self.finished:
            return
        if tasks is None:
            self.cancelled = True
            for callback in self.on_cancel:
                callback()
        self.session.engine.cancel(self.id, tasks, force=force)

    def claim(self, tasks: Sequence[int] | None = None) -> None:
        """The user has these results: the engine may forget them."""
        if self.claimed:
            return
        self.session.claims.append((self.id, tasks))
        self.session.drain_claims()

    def on_claimed(self, tasks: Sequence[int] | None) -> None:
        """The engine has been told. A job is claimed when all of its tasks are."""
        if tasks is not None:
            self._claims.update(task for task in tasks if task in self.records)  # not: released
        whole = self.sealed and len(self._claims) >= len(self.records)
        self.claimed = self.claimed or tasks is None or whole

    def release(self, task: int) -> None:
        """The results of a task that is over were taken, and nobody will ask for them again."""
        with self._lock:
            if self.records.pop(task, None) is not None:
                self.over -= 1
        self.session.claims.append((self.id, [task]))

    # --- from the engine's thread -------------------------------------------------------------------

    def on_items(self, task: int, worker: int | None, items: Sequence[Item]) -> None:
        record = self._record(task)
        record.worker = worker
        new = [item for item in items if not record.has(item.index)]
        if not new:
            return
        if not self.first_item_at:
            self.first_item_at = time.monotonic()
        with self._lock:
            for item in new:
                record.items[item.index] = item
                record.got |= ((1 << item.count) - 1) << item.index
                if item.ok:
                    self.done += item.count
                else:
                    self.failed += 1
                    if self.first_failed is None or task < self.first_failed[0]:
                        self.first_failed = (task, item)
            size = record.got.bit_length()
            if size > record.size:  # a surviving job: sizes are learnt from what comes
                self._grow(size - record.size)
                record.size = size
        self._tell(record, new)

    def on_settled(self, task: int, state: str, why: str, worker: int | None, seconds: float = 0.0) -> None:
        record = self._record(task)
        if record.state:
            return
        with self._lock:
            record.why, record.worker, record.seconds, record.state = why, worker, seconds, state
            self.over += 1
            if state != "lost" or record.size == 1:  # else what was not at fault is sent again
                self.ends[state] += 1
                if state == "lost" and not record.got and not self.refused:
                    self.failed += 1
            self._holds.pop(task, None)
        if self.claimed or task in self._claims:  # nobody wants it any more; claimed earlier, it was kept
            self.session.claims.append((self.id, [task]))
        self._tell(record, None)
        if self.finished:
            self.on_finished()

    def on_refused(self, why: str) -> None:
        if self.cancelled:
            why = ""  # what was on its way when it was cancelled is of no interest any more
        else:
            self.refused = why
        self.sealed = True
        for record in list(self.records.values()):
            if not record.state:
                self.on_settled(record.index, "cancelled" if self.cancelled else "lost", why, None)
        self.on_finished()

    def on_finished(self) -> None:
        callbacks, self.on_end = self.on_end, []
        for callback in callbacks:
            callback(self)
        self.session.on_job_finished(self)

    def forget(self) -> None:
        """The user has everything: what was kept for later goes."""
        self.session.router.forget(self.id)
        self._listeners.clear()

    def on_known(self, info: JobInfo) -> None:
        """The hub's answer to attaching: all that it kept has been sent."""
        self.info = info
        for task, size in info.left:
            self._record(task).size = size
        with self._lock:
            self.total = info.items
            self.sealed = True
            self.cancelled = info.cancelled
        if self.finished:
            self.on_finished()

    def _record(self, task: int) -> Record:
        record = self.records.get(task)
        if record is None:
            with self._lock:
                record = self.records.setdefault(task, Record(task))
                self._grow(record.size)
        return record

    def _grow(self, items: int) -> None:
        if self.info is None:  # the hub has not told how many there are
            self.total += items

    def _tell(self, record: Record, items: Sequence[Item] | None) -> None:
        for listener in list(self._listeners):
            try:
                listener(record, items)
            except Exception as error:  # noqa: BLE001 - a listener must not end the engine's thread; it is told
                self.session.notices.internal_error(error)
