"""What the engine has been given of functions, and what is known of calls of the same kind.

Owns how long that lives: a function goes from the engine when nothing here can refer to it any more, so a
notebook may submit lambdas for days. Never pickles, and never submits. Read next: `functions.py`,
`bundling.py`, `submitting.py`.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from cellmesh.scheduler.wire.messages import Payload, Ref

from .backlog import BUNDLE_SECONDS
from .bundling import Kind
from .chunking import Planner, slots_for
from .functions import KnownFunctions
from .options import Options
from .packing import Packed
from .session import Session

RECENT = 64
MANY = 1 << 30


class Kinds:
    """The kinds of calls of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._functions = KnownFunctions()
        self._kinds: WeakValueDictionary[tuple[str, Options], Kind] = WeakValueDictionary()
        self._blobs: WeakValueDictionary[str, _Blob] = WeakValueDictionary()
        self._recent: deque[Kind] = deque(maxlen=RECENT)  # of functions that may come again, pickled anew
        self._lock = threading.RLock()

    def digest(self, function: Callable[..., Any]) -> str:
        """The digest under which the engine has it, or "" if it must be pickled."""
        return self._functions.digest(function)

    def kind(self, function: Callable[..., Any], digest: str, packed: Packed | None, o: Options) -> Kind:
        """The kind of a call; `packed` is the function if it had to be pickled."""
        if packed is None:
            kind = self._kinds.get((digest, o))
            if kind is not None:
                return kind
        with self._session.uninterrupted(), self._lock:  # or what goes just now might be what is put again
            if packed is not None:
                digest = self._put(function, packed)
            kind = self._kinds.get((digest, o))
            if kind is None:
                kind = self._kinds[digest, o] = self._made(digest, o)
                if packed is None or not isinstance(packed.payload, Ref):  # what is large goes with its calls
                    self._recent.append(kind)
        return kind

    def put(self, payload: Payload) -> tuple[str, object]:
        """A function's digest, and what must live as long as somebody may call it."""
        with self._session.uninterrupted(), self._lock:
            digest = self._session.put_blob(payload)
            return digest, self._blob(digest)

    def slots(self, o: Options) -> int:
        """How many calls with these options can run at once."""
        if self._session.engine.name == "inline":
            return MANY  # nothing may wait: a task that waits for its own would hold the only turn
        capacity = self._session.engine.capacity()
        return slots_for(o.cpus, o.gpus, capacity.cpus, len(capacity.gpus))

    def _put(self, function: Callable[..., Any], packed: Packed) -> str:
        digest, blob = self.put(packed.finish(self._session.engine.task_prefix()))
        if not (packed.waits or packed.holds):
            self._functions.remember(function, digest, blob)
        return digest

    def _made(self, digest: str, o: Options) -> Kind:
        wire = o.wire(self._session)
        fields = {**wire, "blobs": [digest, *filter(None, [wire["retry_on"]])]}
        simple = o.gpus == 0 and o.cpus == 1 and not (o.memory or o.timeout or o.retry_on)
        bundles = simple and o.retries > 0 and o.seed is None and not o.isolate
        return Kind(fields, Planner(self.slots(o), target=BUNDLE_SECONDS), bundles, self._blob(digest))

    def _blob(self, digest: str) -> "_Blob":
        blob = self._blobs.get(digest)
        if blob is None:
            blob = self._blobs[digest] = _Blob()
            weakref.finalize(blob, self._unheld, digest).atexit = False
        return blob

    def _unheld(self, digest: str) -> None:
        self._session.later.append(partial(self._drop, digest))
        self._session.engine.nudge()

    def _drop(self, digest: str) -> None:
        """No call of this function is left, nor the function itself: the engine may forget it."""
        with self._lock:
            if digest not in self._blobs:
                self._session.engine.drop_blob(digest)


class _Blob:
    """A function that the engine has been given."""

    __slots__ = ("__weakref__",)
