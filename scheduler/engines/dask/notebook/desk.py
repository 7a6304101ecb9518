"""The one thread in which everything about a session's maps and calls on Dask is decided and told.

Owns that thread. Others only leave it a word (`post`). Never runs anything. Read next: `book.py`,
`sending.py`, `ears.py`, `ends.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future as ConcurrentFuture
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from distributed import Client

from cellmesh.scheduler.engines.contract import EngineError, JobSpec
from cellmesh.scheduler.engines.dask.between.orders import Begun, Late, Lost, News, Said
from cellmesh.scheduler.wire.messages import JobInfo, Progress, Report

from .book import Book
from .ears import Ears
from .ends import Ends
from .guests import Guests
from .keeping import Keeping, Surviving
from .puts import Puts
from .sending import Sender
from .sent import Sent, Wanted
from .told import Told

T = TypeVar("T")

STUBBORN = 2.0
"""Seconds in which what is stopped should yield; then it goes on without anybody waiting for it."""

_BURST = 2000
"""Tasks that go to Dask as one graph at most."""

_DESERTED = (
    "The Dask cluster has no workers: what was launched waits until some come (cluster.scale(2) starts "
    "some; Stop or cm.cancel ends the waiting)"
)


class Desk:
    """Of one session. Public methods without a word about threads are for its own."""

    def __init__(self, client: Client, session: str, told: Told, puts: Puts, guests: Guests) -> None:
        self._client = client
        self._session = session
        self._told = told
        self._puts = puts
        self._guests = guests
        self.book = Book(session, told, puts.over, guests.forget)
        self.sender = Sender(client, session, puts, guests, self.book.find)
        self.keeping = Keeping(client, session)
        self.ends = Ends(self, client, told)
        self._surviving: dict[int, Surviving] = {}  # those that were not attached
        self._arriving: dict[int, list[Sent]] = {}  # by job that is being attached: what it has done before
        self._outbox: list[Sent] = []
        self._todo: SimpleQueue[partial[object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cellmesh-dask", daemon=True)
        self.ears: Ears

    # --- any thread -----------------------------------------------------------------------------------

    def start(self, grace: float) -> list[JobInfo]:
        """Begin; the jobs that an earlier kernel has left. Waits for the scheduler."""
        self._surviving = self.ends.attach(grace)
        self.ears = Ears(self._client, self._session, self._on_news, partial(self.post, self._deserted))
        self._thread.start()
        return [job.info for job in self._surviving.values()]

    def stop(self, *, end_session: bool) -> None:
        """Tell nothing more. Waits until what was asked before is done."""
        if end_session:
            self.post(self.reset)
            self.post(self.keeping.end)
        self._todo.put(None)
        self._thread.join()
        self._turn_away()
        self.ears.close()

    def post(self, what: Callable[..., object], *about: Any) -> None:
        """Have this called in the thread."""
        self._todo.put(partial(what, *about))

    def ask(self, what: Callable[..., T], *about: Any) -> T:
        """Have this called in the thread, after all that it was told before; waits for what it returns."""
        if threading.current_thread() is self._thread:
            return what(*about)
        answer: ConcurrentFuture[T] = ConcurrentFuture()
        self.post(_answer, answer, what, *about)
        if not self._thread.is_alive():
            self._turn_away()
        return answer.result()

    def _turn_away(self) -> None:
        """The thread has ended: who still asks it something must not wait for ever."""
        with suppress(Empty):
            while True:
                left = self._todo.get_nowait()
                if left is not None and left.func is _answer:
                    left.args[0].set_exception(EngineError("This session has left its Dask cluster."))

    def _later(self, what: Callable[..., object], *about: Any) -> None:
        loop = self._client.loop
        loop.add_callback(loop.call_later, STUBBORN, self.post, what, *about)

    # --- what was asked -------------------------------------------------------------------------------

    def _run(self) -> None:
        while (what := self._todo.get()) is not None:
            with self._told as sink:
                try:
                    what()
                    if self._outbox and (len(self._outbox) >= _BURST or self._todo.empty()):
                        self._send()
                except Exception as error:  # noqa: BLE001 - this thread has to live; the person is told
                    sink.notice(f"cellmesh: {type(error).__name__}: {error} (in the dask engine)")
                for job, done in list(self._arriving.items()):
                    if all(sent.over for sent in done):
                        self._arrived(job)
                if self._todo.empty():
                    sink.flushed()

    def open(self, spec: JobSpec) -> None:
        """A job begins."""
        self.keeping.open(spec)
        self.book.open(spec)

    def submit(self, job: int, tasks: Sequence[Wanted], last: bool) -> None:
        """Tasks to be sent."""
        self._outbox += self.book.add(job, tasks, last)
        if last:
            self.keeping.seal(job)

    def _send(self) -> None:
        outbox, self._outbox = [sent for sent in self._outbox if not sent.over], []
        try:
            for sent, why in self.sender.place(outbox):
                self.book.end(sent, "lost", why)
            outbox = [sent for sent in outbox if not sent.over]
            self.sender.send(outbox)
        except Exception as error:  # noqa: BLE001 - a client that is closed, say: these will not run
            for sent in outbox:
                self.book.end(sent, "lost", f"could not be sent to Dask: {error}")
            return
        for sent in outbox:
            self.ends.hear(sent)

    def claim(self, job: int, tasks: Sequence[int] | None) -> None:
        """These results are with the user."""
        claimed = self.book.claim(job, tasks)
        if job not in self.book.jobs:
            self.keeping.forget(job)
        elif claimed:
            self.keeping.claim([str(sent.key) for sent in claimed])

    def attach(self, job: int) -> None:
        """Tell all that is kept of a job; one of an earlier kernel becomes ours."""
        if job not in self._surviving:
            self.book.attach(job)
            return
        self._look()
        self._arriving[job] = self._adopt(job)
        self._later(self._arrived, job)  # what was lost with a worker is not waited for

    def _arrived(self, job: int) -> None:
        if self._arriving.pop(job, None) is not None:
            self.book.describe(job)

    def _adopt(self, job: int) -> list[Sent]:
        """It becomes ours; those of its tasks that are done, and bring their results now."""
        surviving = self._surviving.pop(job, None)
        if surviving is None:
            return []
        adopted = self.book.adopt(surviving)
        self.ends.follow(adopted)
        for worker in {worker for _, _, worker in surviving.tasks if worker}:
            self.ears.listen(worker)
        return [sent for sent, (_, done, _) in zip(adopted, surviving.tasks, strict=True) if done]

    def _look(self) -> None:
        """See how far the jobs of an earlier kernel are."""
        with suppress(OSError):  # the scheduler cannot be reached: as it was
            now = self.ends.standing() if self._surviving else {}
            self._surviving = {job: now[job] for job in self._surviving if job in now}

    def jobs(self) -> list[JobInfo]:
        """Those that run or were not claimed, also of an earlier kernel."""
        self._look()
        return [*(job.info for job in self._surviving.values()), *self.book.infos()]

    def cancel(self, job: int, tasks: Sequence[int] | None, force: bool, queued: bool) -> None:
        """These are not wanted any more. With `force` nobody waits for what runs; `queued`: it goes on."""
        done = {sent.attempt for sent in self._adopt(job)}  # these bring their results
        unwanted = [sent for sent in self.book.unwanted(job, tasks) if sent.attempt not in done]
        if tasks is None:
            self.keeping.cancel(job)
            self.ears.drop_job(job, self.book.latest)
        self._drop(unwanted, force=force, queued=queued)

    def _drop(self, tasks: Iterable[Sent], *, force: bool = False, queued: bool = False) -> None:
        """Those that wait are over; those that run are stopped, unless those `queued` alone are meant."""
        left = [sent for sent in tasks if not sent.over]
        waiting = [sent for sent in left if not sent.worker]
        if futures := [sent.future for sent in waiting if sent.future is not None]:
            self._client.cancel(futures, force=True)
        for sent in waiting:
            self.book.stopped(sent)
        for sent in left:
            if sent.worker and not queued:
                self._stop(sent)
                if force:
                    self.book.stopped(sent)

    def _stop(self, sent: Sent) -> None:
        self.ears.stop(sent.worker, sent.attempt)
        if not sent.stopping:
            sent.stopping = True
            self._later(self._give_up, sent)

    def _give_up(self, sent: Sent) -> None:
        """It has not yielded: it goes on in its thread, and nobody waits for it."""
        if not sent.over:
            self.book.stopped(sent)

    def reset(self) -> None:
        """Cancel everything, and forget it."""
        for job in list(self._surviving):
            self._adopt(job)
        for job in list(self.book.jobs):
            self._drop(self.book.unwanted(job, None), force=True)
            self.book.forget(job)
            self.keeping.forget(job)
        self.sender.clear()
        self._puts.clear()
        self._guests.clear()
        self.ears.drop(self.book.latest)

    # --- what was heard -------------------------------------------------------------------------------

    def _on_news(self, address: str, news: list[News]) -> None:
        self.post(self._hear, address, news)

    def _deserted(self) -> None:
        with self._told as sink:
            sink.notice(_DESERTED)

    def _hear(self, address: str, news: list[News]) -> None:
        for one in news:
            match one:
                case Begun(attempt):
                    self._begun(address, attempt)
                case Said(attempt, number, output):
                    self.book.said(attempt, number, output)
                case Progress():
                    self.book.progress(one)
                case Late(attempt):
                    if (sent := self.book.attempts.get(attempt)) is not None:
                        sent.late = True
                        self._later(self._give_up, sent)
                case Lost(attempt, why):
                    if (sent := self.book.attempts.get(attempt)) is not None:
                        sent.lost = why
                case Report():
                    self.reported(one)

    def _begun(self, address: str, attempt: int) -> None:
        sent = self.book.attempts.get(attempt)
        if sent is None or sent.unwanted:
            self.ears.stop(address, attempt)  # it was cancelled as it began
            return
        if sent.over:
            return  # its result was lost with a worker, and is wanted
        self.book.begun(sent, address)
        if sent.stopping:
            self.ears.stop(address, attempt)

    def send_again(self, sent: Sent) -> None:
        """It goes to Dask once more."""
        self._outbox.append(sent)

    def reported(self, report: Report) -> None:
        """What a task has brought."""
        unwanted = self.book.report(report)
        if unwanted:
            self.ears.drop_job(report.job, self.book.latest)
            self._drop(unwanted)


def _answer(answer: ConcurrentFuture[T], what: Callable[..., T], *about: Any) -> None:
    try:
        answer.set_result(what(*about))
    except Exception as error:  # noqa: BLE001 - it belongs to who has asked
        answer.set_exception(error)
