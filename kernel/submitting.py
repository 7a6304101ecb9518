"""`cm.submit`: many calls, one open job per cell.

Owns when that job is opened and sealed, and what a call is pickled into. Never waits. A call whose arguments
hold unfinished Futures is sent once they are done. Read next: `backlog.py`, `functions.py`, `packing.py`.
"""

import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from cellmesh.scheduler.objects.packets import Packet
from cellmesh.scheduler.wire.messages import Payload
from cellmesh.scheduler.worker import lending

from . import packing, unattended
from .backlog import Backlog
from .bundling import Call
from .futures import Future
from .kinds import Kinds
from .options import Options
from .packing import Packed
from .session import Session

ROLL_TASKS = 100_000
ROLL_SECONDS = 1.0

COMMIT_AFTER = 0.2
"""Seconds after which calls that still wait here are handed over to the engine, however many they are."""

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_LONG = 4096  # a text of this size is worth its own pickle


class Submissions:
    """The open submit jobs of a session."""

    def __init__(self, session: Session) -> None:
        self.session = self._session = session
        self._open: dict[bool, _Open] = {}  # by background
        self.kinds = Kinds(session)
        self._committer = _Committer(self)
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
        """Send a call, or have it sent soon: once those of `after` are done, however they end."""
        digest = self.kinds.digest(function)
        if digest and not after and _is_plain(args, kwargs):
            return self._enter(title, o, digest, None, function, (args, kwargs), ())
        prefix = self._session.engine.task_prefix()
        try:
            blob = None if digest else packing.pack(function, prefix)
            packed = packing.pack((args, kwargs), prefix, joins=True)
        except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
            given = [(f"argument {i} of `{title}`", part) for i, part in enumerate(args, start=1)]
            given += [(f"argument `{name}` of `{title}`", part) for name, part in kwargs.items()]
            raise packing.explained(error, [("your function", function), *given]) from None
        waits = [*after, *(blob.waits if blob is not None else ()), *packed.waits]
        if waits:
            return self._enter_later(title, o, digest, blob, function, packed, waits)
        holds = _holds(blob, packed)
        arguments = packed.packet or packed.finish(prefix)
        return self._enter(title, o, digest, blob, function, arguments, holds)

    def _enter(
        self,
        title: str,
        o: Options,
        digest: str,
        blob: Packed | None,
        function: Callable[..., Any],
        arguments: Payload | Packet | tuple[Any, ...],
        holds: Sequence[Any],
    ) -> Future:
        """The call joins the open job. It is in it wholly or not at all, whenever Stop is pressed."""
        found = self._open.get(o.background)
        waits = blob is None and found is not None and found.backlog.full  # then hardly anything is done
        with nullcontext() if waits else self._session.uninterrupted():
            with self._lock:
                opened = self._job_for(title, o)
                future = opened.future(self._session, title)
                kind = self.kinds.kind(function, digest, blob, o)
                leaves = opened.backlog.take(Call(future, kind, arguments, holds, seeds=_seeds(o)))
            if leaves and not waits:
                opened.backlog.send()  # not under the lock: it may write megabytes
        if leaves and waits:
            with self._session.uninterrupted():
                opened.backlog.send()
        return future

    def _enter_later(
        self,
        title: str,
        o: Options,
        digest: str,
        blob: Packed | None,
        function: Callable[..., Any],
        packed: Packed,
        waits: Sequence[concurrent.futures.Future[Any]],
    ) -> Future:
        """As `_enter`, once `waits` are done: the job is kept open for it."""
        session = self._session
        prefix = session.engine.task_prefix()

        def ready() -> Call:
            arguments = packed.packet or packed.finish(prefix)
            if blob is not None:
                blob.finish(prefix)
            kind = self.kinds.kind(function, digest, blob, o)
            return Call(future, kind, arguments, _holds(blob, packed), seeds=_seeds(o))

        def send() -> None:
            if future.done():
                backlog.drop_expected()  # cancelled while it waited
                return
            try:
                call = ready()
            except Exception as error:  # noqa: BLE001 - what a Future in the arguments raised is this one's outcome
                backlog.drop_expected()
                future.fail(error)
                session.bell.ring()
                return
            except BaseException:  # Stop
                backlog.drop_expected()
                future.cancel()
                raise
            backlog.add(call)

        with self._session.uninterrupted():
            with self._lock:
                opened = self._job_for(title, o)
                future = opened.future(session, title)
                backlog = opened.backlog
                backlog.expect()
            packing.when_done(waits, send)
        return future

    def commit(self) -> None:
        """Hand over all that waits here."""
        for opened in list(self._open.values()):
            opened.backlog.hand_over()

    def seal(self) -> None:
        """No more calls will join the open jobs: the cell has ended."""
        with self._session.uninterrupted():
            with self._lock:
                opened = list(self._open.values())
                self._open.clear()
            for one in opened:
                one.backlog.seal()

    def seal_idle(self) -> None:
        """Before jobs are shown: one whose calls are all over would be `running` as long as it is open."""
        with self._session.uninterrupted():
            with self._lock:
                idle = [key for key, opened in self._open.items() if opened.backlog.idle]
                found = [self._open.pop(key) for key in idle]
            for opened in found:
                opened.backlog.seal()

    def _job_for(self, title: str, o: Options) -> "_Open":
        found = self._open.get(o.background)
        if found is not None and found.takes_more(self._session):
            return found
        with self._session.uninterrupted():
            if found is not None:
                found.backlog.seal()
            job = self._session.launch("submit", title, background=o.background)
            unattended.watch(job)
            opened = self._open[o.background] = _Open(
                Backlog(job, self.kinds.slots(o), self._committer.start)
            )
        return opened


def submissions_of(session: Session) -> Submissions:
    """The session's one `Submissions`."""
    found = session.submissions
    if found is None:
        found = session.submissions = Submissions(session)
    assert isinstance(found, Submissions)
    return found


class _Open:
    """A job that still takes calls."""

    def __init__(self, backlog: Backlog) -> None:
        self.backlog = backlog
        self._used = time.monotonic()

    def takes_more(self, session: Session) -> bool:
        job = self.backlog.job
        if job.finished or job.cancelled or self.backlog.count >= ROLL_TASKS:
            return False
        if job.parent != lending.parent():
            return False
        here, cell = session.hooks.current, job.cell
        if here is not cell and (here and here.msg_id) != (cell and cell.msg_id):
            return False
        return here is not None or time.monotonic() - self._used < ROLL_SECONDS

    def future(self, session: Session, title: str) -> Future:
        """A new call's Future."""
        self._used = time.monotonic()
        future = Future(session, title, self.backlog.job)
        future.belongs(self.backlog)
        return future


class _Committer:
    """Hands calls over that have waited for a moment, by a thread that sleeps unless some wait."""

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Calls wait."""
        if self._wanted.is_set():
            return
        with self._submissions.session.uninterrupted():
            self._wanted.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cellmesh-submits", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._wanted.wait():
            time.sleep(COMMIT_AFTER)
            self._wanted.clear()
            try:
                self._submissions.commit()
            except Exception as error:  # noqa: BLE001 - later calls need this thread; the person is told
                self._submissions.session.notices.internal_error(error)


def _holds(blob: Packed | None, packed: Packed) -> list[Any]:
    return [*(blob.holds if blob is not None else ()), *packed.holds]


def _seeds(o: Options) -> list[int] | None:
    return None if o.seed is None else [o.seed]


def _is_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the arguments cannot change any more, so that they can be pickled later."""
    for value in args:
        kind = type(value)
        if kind not in _PLAIN or ((kind is str or kind is bytes) and len(value) > _LONG):
            return False
    return not kwargs or _is_plain(tuple(kwargs.values()), {})
