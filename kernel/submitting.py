"""`cm.submit`: many calls, one open job per cell.

Owns when that job is opened and sealed, and what a call is pickled into. Never waits. A call whose arguments
hold unfinished Futures is sent once they are done. Read next: `backlog.py`, `functions.py`, `packing.py`.
"""

import concurrent.futures
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from cellmesh.scheduler.wire.messages import Payload, Ref
from cellmesh.scheduler.worker import lending

from . import packing, unattended
from .backlog import BUNDLE_SECONDS, Backlog, Call, Kind
from .chunking import Planner, slots_for
from .functions import KnownFunctions
from .futures import Future
from .options import Options
from .packing import Packed
from .session import Session

ROLL_TASKS = 100_000
ROLL_SECONDS = 1.0

RECENT = 64
COMMIT_AFTER = 0.2
"""Seconds after which calls that still wait here are handed over to the engine, however many they are."""

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_LONG = 4096  # a text of this size is worth its own pickle
MANY = 1 << 30


class Submissions:
    """The open submit jobs of a session."""

    def __init__(self, session: Session) -> None:
        self.session = self._session = session
        self._open: dict[bool, _Open] = {}  # by background
        self._functions = KnownFunctions()
        self._kinds: WeakValueDictionary[tuple[str, Options], Kind] = WeakValueDictionary()
        self._blobs: WeakValueDictionary[str, _Blob] = WeakValueDictionary()
        self._recent: deque[Kind] = deque(maxlen=RECENT)  # of functions that may come again, pickled anew
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
        session = self._session
        digest = self._functions.digest(function)
        plain = _is_plain(args, kwargs)
        if digest and plain and not after:
            with self._lock:
                opened = self._job_for(title, o)
                future = opened.future(session, title)
                backlog = opened.backlog
                seeds = None if o.seed is None else [o.seed]
                call = Call(future, self._kind(digest, o, function), (args, kwargs), seeds=seeds)
                backlog.expect()  # here: no other thread may seal the job before the call is in it
            backlog.add(call)
            return future
        return self._submit_packed(function, digest, args, kwargs, title, o, after)

    def _submit_packed(
        self,
        function: Callable[..., Any],
        digest: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        title: str,
        o: Options,
        after: Sequence[concurrent.futures.Future[Any]],
    ) -> Future:
        session = self._session
        prefix = session.engine.object_prefix()
        try:
            blob = None if digest else packing.pack(function, prefix)
            packed = packing.pack((args, kwargs), prefix, joins=True)
        except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
            given = [(f"argument {i} of `{title}`", part) for i, part in enumerate(args, start=1)]
            given += [(f"argument `{name}` of `{title}`", part) for name, part in kwargs.items()]
            raise packing.explained(error, [("your function", function), *given]) from None
        waits = [*after, *(blob.waits if blob is not None else ()), *packed.waits]
        with self._lock:
            opened = self._job_for(title, o)
            future = opened.future(session, title)
            backlog = opened.backlog
            backlog.expect()

        def ready() -> Call:
            with self._lock:
                known = digest if blob is None else self._put(function, blob, prefix)
                kind = self._kind(
                    known, o, function, large=blob is not None and isinstance(blob.payload, Ref)
                )
            holds = [*(blob.holds if blob is not None else ()), *packed.holds]
            seeds = None if o.seed is None else [o.seed]
            arguments = packed.packet or packed.finish(prefix)
            return Call(future, kind, arguments, holds, seeds=seeds)

        def send_later() -> None:
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

        if waits:
            packing.when_done(waits, send_later)
            return future
        try:
            call = ready()
        except BaseException:
            backlog.drop_expected()
            raise
        backlog.add(call)
        return future

    def commit(self) -> bool:
        """Hand over all that waits here; whether there was any."""
        waited = [opened.backlog.hand_over() for opened in list(self._open.values())]
        return any(waited)

    def seal(self) -> None:
        """No more calls will join the open jobs: the cell has ended."""
        with self._lock:
            opened = list(self._open.values())
            self._open.clear()
        for one in opened:
            one.backlog.seal()

    def seal_idle(self) -> None:
        """Before jobs are shown: one whose calls are all over would be `running` as long as it is open."""
        with self._lock:
            idle = [key for key, opened in self._open.items() if opened.backlog.idle]
            found = [self._open.pop(key) for key in idle]
        for opened in found:
            opened.backlog.seal()

    def _put(self, function: Callable[..., Any], blob: Packed, prefix: str) -> str:
        digest = self._session.put_blob(blob.finish(prefix))
        if not (blob.waits or blob.holds):
            self._functions.remember(function, digest)
        return digest

    def put(self, payload: Payload) -> tuple[str, object]:
        """A function's digest, and what must live as long as somebody may call it."""
        with self._lock:  # or it might just be dropped, by who had it before
            digest = self._session.put_blob(payload)
            return digest, self._held(digest)

    def _held(self, digest: str) -> "_Blob":
        blob = self._blobs.get(digest)
        if blob is None:
            blob = self._blobs[digest] = _Blob()
            weakref.finalize(blob, self._unheld, digest).atexit = False
        return blob

    def _unheld(self, digest: str) -> None:
        self._session.later.append(partial(self._drop, digest))
        self._session.engine.nudge()

    def _kind(self, digest: str, o: Options, function: Callable[..., Any], *, large: bool = False) -> Kind:
        kind = self._kinds.get((digest, o))
        if kind is None:
            wire = o.wire(self._session)
            fields = {**wire, "blobs": [digest, *filter(None, [wire["retry_on"]])]}
            simple = o.gpus == 0 and o.cpus == 1 and not (o.memory or o.timeout or o.retry_on)
            bundles = simple and o.retries > 0 and o.seed is None
            planner = Planner(self._slots(o), target=BUNDLE_SECONDS)
            kind = self._kinds[digest, o] = Kind(fields, planner, bundles, self._held(digest))
            if not large:
                self._recent.append(kind)
            self._functions.hold(function, kind)
        return kind

    def _drop(self, digest: str) -> None:
        """No call of this function is left, nor the function itself: the engine may forget it."""
        with self._lock:
            if digest not in self._blobs:
                self._session.engine.drop_blob(digest)

    def _slots(self, o: Options) -> int:
        capacity = self._session.engine.capacity()
        if self._session.engine.name == "inline":
            return MANY  # nothing may wait: a task that waits for its own would hold the only turn
        return slots_for(o.cpus, o.gpus, capacity.cpus, len(capacity.gpus))

    def _job_for(self, title: str, o: Options) -> "_Open":
        found = self._open.get(o.background)
        if found is not None:
            if found.takes_more(self._session):
                return found
            found.backlog.seal()
        job = self._session.launch("submit", title, background=o.background)
        unattended.watch(job)
        opened = _Open(Backlog(job, self._slots(o), self._committer.start))
        self._open[o.background] = opened
        return opened


def submissions_of(session: Session) -> Submissions:
    """The session's one `Submissions`."""
    found = session.submissions
    if found is None:
        found = session.submissions = Submissions(session)
    assert isinstance(found, Submissions)
    return found


class _Blob:
    """A function that the engine has been given."""

    __slots__ = ("__weakref__",)


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


def _is_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the arguments cannot change any more, so that they can be pickled later."""
    for value in args:
        kind = type(value)
        if kind not in _PLAIN or ((kind is str or kind is bytes) and len(value) > _LONG):
            return False
    return not kwargs or _is_plain(tuple(kwargs.values()), {})
