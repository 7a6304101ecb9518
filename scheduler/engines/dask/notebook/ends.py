"""How tasks end of which no news came: Dask's own word is heard, and what was missed is asked for.

Owns what follows from that: another try, an end, or a scheduler that must be found again. For the
thread of `desk.py`, but for `_on_done`. Read next: `desk.py`, `book.py`, `scheduler/keeper.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from distributed import Client, Future, KilledWorker

from cellmesh.scheduler.engines.dask.between.orders import read_told

from .keeping import Surviving
from .sent import Sent
from .told import Told

if TYPE_CHECKING:
    from .desk import Desk

MOVES = 5
"""So often a task goes out again whose worker died before it was known to have begun there."""

CUT_OFF = "scheduler-connection-lost"
"""Why Dask has cancelled all futures, as it says."""


class Ends:
    """Of one session."""

    def __init__(self, desk: Desk, client: Client, told: Told) -> None:
        self._desk = desk
        self._client = client
        self._told = told
        self._scheduler: str = client.scheduler.address
        self._grace = 0.0
        self._cut_off = False
        self.gone = ""  # why nothing more can be done

    def attach(self, grace: float) -> dict[int, Surviving]:
        """Take the session over; the jobs that an earlier kernel has left. Waits for the scheduler."""
        self._grace = grace
        self._watch()  # before: it may be lost meanwhile
        return self._desk.keeping.attach(grace)

    def standing(self) -> dict[int, Surviving]:
        """How far the jobs of the session are. Waits for the scheduler."""
        return self._desk.keeping.jobs(self._grace)

    def _watch(self) -> None:
        """Dask cancels all futures when it loses the scheduler, also one that stands for nothing."""
        self._watched = Future(f"cellmesh-{id(self):x}", self._client)
        self._when_done(self._watched, lambda _: self._desk.post(self._lose_sight))

    def follow(self, tasks: Sequence[Sent]) -> None:
        """Hear how these end, which Dask knows already."""
        futures = self._desk.keeping.futures([sent.key for sent in tasks])
        for sent, future in zip(tasks, futures, strict=True):
            sent.future = future
            self.hear(sent)

    def hear(self, sent: Sent) -> None:
        """Hear how it ends."""
        self._when_done(sent.future, partial(self._on_done, sent))

    def _when_done(self, future: Future, then: Callable[[Future], None]) -> None:
        # Not `add_done_callback`: its threads are gone as Python ends, and Dask then logs a traceback.
        self._client.loop.add_callback(_done_then, future, then)

    def _on_done(self, sent: Sent, future: Future) -> None:
        """In Dask's loop: it has a word."""
        self._desk.post(self._done, sent, future)

    def _done(self, sent: Sent, future: Future) -> None:
        if sent.over or future is not sent.future:
            return
        match future.status:
            case "finished":
                then = partial(self._desk.post, self._fetched, sent, future)
                self._desk.ears.fetch(future, then, "told")
            case "error":
                self._failed(sent, future.exception())
            case _ if (
                self._client.status != "running" or getattr(future._state.exception, "reason", "") == CUT_OFF
            ):
                self._lose_sight()
            case _:
                sent.moves += 1  # what it depends on was lost with a worker: it may be brought again
                self._again(sent, "Dask has dropped it")

    def _failed(self, sent: Sent, error: BaseException | None) -> None:
        """Dask could not run it: mostly since a worker died, with this and others."""
        if not isinstance(error, KilledWorker):
            self._desk.book.end(sent, "lost", f"Dask could not run it: {error}")
            return
        if sent.worker:
            sent.deaths += 1
        else:
            sent.moves += 1
        where = getattr(error.last_worker, "name", "") or error.last_worker.address
        times = f", the last of {sent.deaths}" if sent.deaths > 1 else ""
        self._again(sent, f"the Dask worker {where}{times} died while it ran")

    def _again(self, sent: Sent, why: str) -> None:
        """Once more, unless that was enough."""
        if sent.task.payload and sent.deaths <= sent.task.retries and sent.moves < MOVES:
            self._desk.keeping.claim([str(sent.key)])
            self._desk.book.again(sent)
            self._desk.send_again(sent)
        else:
            self._desk.book.end(sent, "lost", why)

    def _fetched(self, sent: Sent, future: Future, answer: bytes | None) -> None:
        """What a worker told of a task that is over, or None."""
        if sent.over or future is not sent.future:
            return
        if answer is None:
            if future.status == "finished":
                self._desk.book.end(sent, "lost", "its Dask worker is gone, and the result with it")
            else:
                self._done(sent, future)
            return
        told = read_told(answer)
        for number, output in enumerate(told.outputs, told.first):
            self._desk.book.said(sent.attempt, number, output)
        for progress in told.progress:
            self._desk.book.progress(progress)
        sent.late, sent.lost = sent.late or told.late, told.lost
        self._desk.reported(told.report)

    # --- a scheduler that cannot be reached -----------------------------------------------------------

    def _lose_sight(self) -> None:
        if not self._cut_off and not self.gone:
            self._cut_off = True
            if self._client.status == "connecting":
                with self._told as sink:
                    sink.notice(f"The Dask scheduler at {self._scheduler} cannot be reached; trying again")
            self._desk.ears.reconnected(partial(self._desk.post, self._found_again))

    def _found_again(self, found: bool) -> None:
        """It has kept what it had, unless it is another; or it is gone for good."""
        if not found:
            self._give_up()
            return
        self._cut_off = False
        try:
            jobs = self.attach(self._grace)
        except OSError:  # it is lost again
            self._lose_sight()
            return
        there = {str(key) for job in jobs.values() for key, _, _ in job.tasks}
        self._desk.ears.open()
        self._desk.sender.clear()
        for sent in self._desk.book.open_tasks():
            if str(sent.key) in there:
                self.follow([sent])
            elif sent.future is not None:
                sent.moves += 1
                self._again(sent, "the Dask scheduler has begun anew, and does not know it")

    def _give_up(self) -> None:
        self.gone = (
            f"The Dask cluster at {self._scheduler} has ended. Connect to another one with "
            "cm.connect('dask', ...), or work on this machine with cm.connect('embedded')."
        )
        with self._told as sink:
            sink.lost(self.gone)
        for sent in self._desk.book.open_tasks():
            self._desk.book.end(sent, "lost", self.gone)


async def _done_then(future: Future, then: Callable[[Future], None]) -> None:
    while future.status == "pending":
        await future._state.wait()
    then(future)
