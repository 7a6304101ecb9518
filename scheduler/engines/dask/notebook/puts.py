"""Large objects that a notebook makes for its tasks: kept here, and on the cluster once one of these is sent.

Owns their contents until they are freed, and which are in Dask's memory; also how names of large objects are
found in pickles. Never knows of tasks. Read next: `sending.py`, `../../../objects/makers.py`.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from distributed import Client, Future

from cellmesh.scheduler.engines.dask.between.orders import REFS
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire.messages import Payload, Ref

from .ways import ways

_PICKLE = 2
"""Which of the parts of an object is its pickle (see `layout.parts`)."""

GONE = ("cancelled", "lost", "error")
"""States of a future whose data is nowhere any more."""


class Puts:
    """Of one session. Any thread."""

    def __init__(self, client: Client, session: str) -> None:
        self._client = client
        self.prefix = f"{REFS}{session}-p{secrets.randbits(32):x}-"
        self._name = re.compile(rb"\x8c(.)(?=" + f"{REFS}{session}-".encode() + rb")", re.DOTALL)
        self._numbers = count(1)
        self._contents: dict[str, bytes] = {}
        self._needs: dict[str, list[str]] = {}  # what the objects refer to
        self._kept: set[str] = set()  # not freed with the task that they are for
        self._placed: dict[str, Future] = {}
        self._placing = threading.Lock()

    # --- as `makers.Writes` ---------------------------------------------------------------------------

    def write(self, parts: Sequence[bytes | memoryview], marks: str = "") -> Ref:
        """Keep these parts as one object."""
        content = b"".join(parts)
        ref = Ref(f"{self.prefix}{next(self._numbers):x}{marks}", len(content))
        self._contents[ref.name] = content
        self._needs[ref.name] = list(self.named(bytes(parts[_PICKLE])))
        return ref

    def freed(self, name: str) -> None:
        """Nobody needs it any more."""
        self._contents.pop(name, None)
        self._needs.pop(name, None)
        self._kept.discard(name)
        self._placed.pop(name, None)

    def let_go(self) -> None:
        """Keep nothing that nobody needs: nothing is."""

    # --- for tasks ------------------------------------------------------------------------------------

    def keep(self, name: str) -> None:
        """It stays when the task is over that it is for."""
        self._kept.add(name)

    def over(self, payload: Payload) -> None:
        """The task is over whose arguments these are."""
        if isinstance(payload, Ref) and payload.name not in self._kept:
            self.freed(payload.name)

    def content(self, name: str) -> bytes | None:
        """What is in it."""
        return self._contents.get(name)

    def named(self, pickled: bytes) -> Iterator[str]:
        """The names of large objects in a pickle."""
        for found in self._name.finditer(pickled):
            start = found.end()
            yield pickled[start : start + found[1][0]].decode()

    def needs(self, payloads: Iterable[Payload]) -> list[str]:
        """The names of all large objects that these refer to; those of ours are on the cluster then."""
        names: dict[str, None] = {}
        left: list[str] = []
        for payload in payloads:
            left += [payload.name] if isinstance(payload, Ref) else self.named(payload)
        while left:
            name = left.pop()
            if name not in names:
                names[name] = None
                left += self._needs.get(name, ())
        for name in names:
            if name in self._contents:
                self.placed(name)
        return list(names)

    def placed(self, name: str) -> Future:
        """The object in Dask's memory. Waits until it is there."""
        with self._placing:
            future = self._placed.get(name)
            if future is None or future.status in GONE:
                content = self._contents.get(name)
                if content is None:
                    raise segments.gone(Ref(name, 0))
                data = {name: memoryview(content)}  # bytes would be copied by each worker that gets them
                direct = self._client.sync(ways(self._client).straight)
                future = self._client.scatter(data, hash=False, direct=direct)[name]
                self._placed[name] = future
        return future

    def clear(self) -> None:
        """Nothing is needed any more."""
        self._contents.clear()
        self._needs.clear()
        self._kept.clear()
        self._placed.clear()
