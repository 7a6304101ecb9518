"""Maps and calls on a Dask cluster: tasks of Dask's own scheduler, in its own threads.

Owns one thread, in which everything is decided and told; the public methods only leave it a word. How a
task ends is news of its worker or, where these were missed, what Dask keeps as its value. Read next:
`book.py`, `sending.py`, `ears.py`, `work.py` (the workers' end).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any

from distributed import Client, Future, KilledWorker

from cellmesh.scheduler.engines.contract import JobSpec
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire.messages import Interpreter, JobInfo, Payload, Progress, Ref, Report, TaskWire

from .book import Book, Sent
from .ears import Ears
from .keeping import Keeping, Surviving
from .orders import REFS, Begun, Late, News, Said, place_of, read_told
from .sending import Sender
from .told import Told

STUBBORN = 2.0
"""Seconds in which what is stopped should yield; then it goes on without anybody waiting for it."""

MOVES = 5
"""So often a task goes out again whose worker died before it was known to have begun there."""

_BURST = 2000
"""Tasks that go to Dask as one graph at most."""


class Pool:
    """Of one session. `blobs` gives what tasks refer to by digest; `told` is where everything is told."""

    def __init__(self, client: Client, session_key: str, told: Told, blobs: Callable[[str], Payload]) -> None:
        self._client = client
        self._session = hashlib.blake2b(session_key.encode(), digest_size=6).hexdigest()
        self._told = told
        self._book = Book(self._session, told)
        self._keeping = Keeping(client, self._session)
        self._surviving: dict[int, Surviving] = {}
        self._sender = Sender(client, self._session, blobs)
        self._outbox: list[Sent] = []
        self._todo: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cellmesh-dask", daemon=True)

    # --- any thread -----------------------------------------------------------------------------------

    def open(self, grace: float = 0.0) -> list[JobInfo]:
        """Begin; the jobs that an earlier kernel of the session has left. Waits for the scheduler.

        `grace` is how many seconds the session outlives this process.
        """
        self._surviving = self._keeping.attach(grace)
        self._ears = Ears(self._client, self._session, self._on_news)
        segments.elsewhere(self._prefix, self._bring)
        self._thread.start()
        return [job.info for job in self._surviving.values()]

    def close(self, *, end_session: bool) -> None:
        """Tell nothing more. Waits until what was asked before is done."""
        if end_session:
            self._post(self._reset)
            self._post(self._keeping.end)
        self._todo.put(None)
        self._thread.join()
        self._ears.close()
        segments.nowhere(self._prefix)

    def set_context(self, interpreter: Interpreter) -> None:
        """Surroundings of what is submitted from now on."""
        self._post(self._sender.set_context, interpreter)

    def drop_blob(self, digest: str) -> None:
        """What is submitted from now on does not refer to it."""
        self._post(self._sender.drop_blob, digest)

    def open_job(self, spec: JobSpec) -> None:
        """As the contract has it."""
        self._post(self._open, spec)

    def submit(self, job: int, tasks: Sequence[TaskWire], *, last: bool) -> None:
        """As the contract has it."""
        self._post(self._submit, job, tasks, last)

    def cancel(self, job: int, tasks: Sequence[int] | None, *, force: bool, queued: bool) -> None:
        """As the contract has it. Nothing can be replaced here: with `force` nobody waits for what runs."""
        self._post(self._cancel, job, tasks, force, queued)

    def claim(self, job: int, tasks: Sequence[int] | None) -> None:
        """As the contract has it."""
        self._post(self._claim, job, tasks)

    def attach_job(self, job: int) -> None:
        """As the contract has it."""
        self._post(self._attach, job)

    def reset(self) -> None:
        """Cancel everything, and forget it."""
        self._post(self._reset)

    def jobs(self) -> list[JobInfo]:
        """Those that run or were not claimed."""
        return self._book.infos()

    @property
    def _prefix(self) -> str:
        return f"{REFS}{self._session}-"

    def _post(self, what: Callable[..., object], *about: Any) -> None:
        self._todo.put(partial(what, *about))

    def _later(self, what: Callable[..., object], *about: Any) -> None:
        loop = self._client.loop
        loop.add_callback(loop.call_later, STUBBORN, self._post, what, *about)

    # --- the thread: what was asked -------------------------------------------------------------------

    def _run(self) -> None:
        while (what := self._todo.get()) is not None:
            with self._told as sink:
                try:
                    what()
                    if self._outbox and (len(self._outbox) >= _BURST or self._todo.empty()):
                        self._send()
                except Exception as error:  # noqa: BLE001 - this thread has to live; the person is told
                    sink.notice(f"cellmesh: {type(error).__name__}: {error} (in the dask engine)")
                if self._todo.empty():
                    sink.flushed()

    def _open(self, spec: JobSpec) -> None:
        self._keeping.open(spec)
        self._book.open(spec)

    def _submit(self, job: int, tasks: Sequence[TaskWire], last: bool) -> None:
        self._outbox += self._book.add(job, tasks, last)
        if last:
            self._keeping.seal(job)

    def _send(self) -> None:
        outbox, self._outbox = [sent for sent in self._outbox if not sent.over], []
        try:
            self._sender.send(outbox)
        except Exception as error:  # noqa: BLE001 - a client that is closed, say: these will not run
            for sent in outbox:
                self._book.end(sent, "lost", f"could not be sent to Dask: {error}")
            return
        for sent in outbox:
            sent.future.add_done_callback(partial(self._on_done, sent))

    def _claim(self, job: int, tasks: Sequence[int] | None) -> None:
        claimed = self._book.claim(job, tasks)
        if job not in self._book.jobs:
            self._keeping.forget(job)
        elif claimed:
            self._keeping.claim([str(sent.key) for sent in claimed])

    def _attach(self, job: int) -> None:
        surviving = self._surviving.pop(job, None)
        if surviving is not None:
            adopted = self._book.adopt(surviving)
            futures = self._keeping.futures([sent.key for sent in adopted])
            for sent, future in zip(adopted, futures, strict=True):
                sent.future = future
                sent.future.add_done_callback(partial(self._on_done, sent))
            for worker in {worker for _, _, worker in surviving.tasks if worker}:
                self._ears.listen(worker)
        self._book.attach(job)

    def _cancel(self, job: int, tasks: Sequence[int] | None, force: bool, queued: bool) -> None:
        unwanted = self._book.unwanted(job, tasks)
        if tasks is None:
            self._keeping.cancel(job)
            self._ears.drop_job(job, self._book.latest)
        self._drop(unwanted, force=force, queued=queued)

    def _drop(self, tasks: Iterable[Sent], *, force: bool = False, queued: bool = False) -> None:
        """Those that wait are over; those that run are stopped, unless those `queued` alone are meant."""
        left = [sent for sent in tasks if not sent.over]
        waiting = [sent for sent in left if not sent.worker]
        if futures := [sent.future for sent in waiting if sent.future is not None]:
            self._client.cancel(futures, force=True)
        for sent in waiting:
            self._book.stopped(sent)
        for sent in left:
            if sent.worker and not queued:
                self._stop(sent)
                if force:
                    self._book.stopped(sent)

    def _stop(self, sent: Sent) -> None:
        self._ears.stop(sent.worker, sent.attempt)
        if not sent.stopping:
            sent.stopping = True
            self._later(self._give_up, sent)

    def _give_up(self, sent: Sent) -> None:
        """It has not yielded: it goes on in its thread, and nobody waits for it."""
        if not sent.over:
            self._book.stopped(sent)

    def _reset(self) -> None:
        for job in list(self._book.jobs):
            self._drop(self._book.unwanted(job, None), force=True)
            self._book.forget(job)
            self._keeping.forget(job)
        self._sender.clear()
        self._ears.drop(self._book.latest)

    # --- the thread: what was heard -------------------------------------------------------------------

    def _on_news(self, address: str, news: list[News]) -> None:
        self._post(self._hear, address, news)

    def _on_done(self, sent: Sent, future: Future) -> None:
        self._post(self._done, sent, future)

    def _hear(self, address: str, news: list[News]) -> None:
        for one in news:
            match one:
                case Begun(attempt):
                    self._begun(address, attempt)
                case Said(attempt, number, output):
                    self._book.said(attempt, number, output)
                case Progress():
                    self._book.progress(one)
                case Late(attempt):
                    if (sent := self._book.attempts.get(attempt)) is not None:
                        sent.late = True
                        self._later(self._give_up, sent)
                case Report():
                    self._reported(one)

    def _begun(self, address: str, attempt: int) -> None:
        sent = self._book.attempts.get(attempt)
        if sent is None or sent.unwanted:
            self._ears.stop(address, attempt)  # it was cancelled as it began
            return
        if sent.over:
            return  # its result was lost with a worker, and is wanted
        self._book.begun(sent, address)
        if sent.stopping:
            self._ears.stop(address, attempt)

    def _reported(self, report: Report) -> None:
        unwanted = self._book.report(report)
        if unwanted:
            self._ears.drop_job(report.job, self._book.latest)
            self._drop(unwanted)

    def _done(self, sent: Sent, future: Future) -> None:
        """Dask is done with a task: what was missed of it is asked for."""
        if sent.over:
            return
        match future.status:
            case "finished":
                self._ears.fetch(future, partial(self._post, self._fetched, sent), "told")
            case "error":
                self._failed(sent, future.exception())
            case _:
                self._book.end(sent, "lost", "the Dask scheduler dropped it")

    def _failed(self, sent: Sent, error: BaseException | None) -> None:
        """Dask could not run it: mostly since a worker died, with this and others."""
        if not isinstance(error, KilledWorker):
            self._book.end(sent, "lost", f"Dask could not run it: {error}")
            return
        if sent.worker:
            sent.deaths += 1
        else:
            sent.moves += 1
        if sent.task.payload and sent.deaths <= sent.task.retries and sent.moves < MOVES:
            self._keeping.claim([str(sent.key)])
            self._book.again(sent)
            self._outbox.append(sent)
            return
        where = getattr(error.last_worker, "name", "") or error.last_worker.address
        times = f", the last of {sent.deaths}" if sent.deaths > 1 else ""
        self._book.end(sent, "lost", f"the Dask worker {where}{times} died while it ran")

    def _fetched(self, sent: Sent, answer: bytes | None) -> None:
        if sent.over:
            return
        if answer is None:
            self._book.end(sent, "lost", "its Dask worker is gone, and the result with it")
            return
        told = read_told(answer)
        for number, output in enumerate(told.outputs, told.first):
            self._book.said(sent.attempt, number, output)
        sent.late = sent.late or told.late
        self._reported(told.report)

    # --- large results --------------------------------------------------------------------------------

    def _bring(self, ref: Ref) -> bytes:
        """The content of a large result, from the worker that has it. Any thread but Dask's."""
        sent = self._book.attempts.get(place_of(ref.name)[0])
        if sent is None:
            raise segments.gone(ref)
        content = self._client.sync(self._ears.ask_holder, sent.future, "content", name=ref.name)
        if content is None:
            raise segments.gone(ref)
        return bytes(content)
