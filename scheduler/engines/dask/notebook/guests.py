"""Futures and collections of Dask's own in what a notebook sends: a task is given their values.

Owns which of them are on their way, by name, until the jobs are forgotten that have them. Never computes:
Dask does, as soon as a collection is sent. Read next: `sending.py`, `worker/hands.py` (where they arrive).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import Any

from distributed import Client, Future

from cellmesh.scheduler.engines.dask.between.orders import REFS
from cellmesh.scheduler.engines.dask.worker.hands import value


class Guests:
    """Of one session. Any thread."""

    def __init__(self, client: Client, session: str) -> None:
        self._client = client
        self._prefix = f"{REFS}{session}-g"
        self._futures: dict[str, Future] = {}
        self._jobs: dict[int, set[str]] = {}

    def reduce(self, obj: Any) -> Any:
        """How such an object is pickled (see `codec.guests`); None for all others."""
        if isinstance(obj, Future):
            if obj.client is not self._client:
                return None
            return value, (self._named(obj.key, obj),)
        if not hasattr(type(obj), "__dask_graph__") or not _is_collection(obj):
            return None
        key = f"collection {sys.modules['dask.base'].tokenize(obj)}"
        name = self._name(key)
        return value, (name if name in self._futures else self._named(key, self._client.compute(obj)),)

    def used(self, job: int, names: Iterable[str]) -> None:
        """A job refers to these names, of which some may be ours."""
        ours = [name for name in names if name in self._futures]
        if ours:
            self._jobs.setdefault(job, set()).update(ours)

    def find(self, name: str) -> Future | None:
        """The future of this name."""
        return self._futures.get(name)

    def forget(self, job: int) -> None:
        """This job needs nothing any more."""
        for name in self._jobs.pop(job, ()):
            if not any(name in others for others in self._jobs.values()):
                self._futures.pop(name, None)

    def clear(self) -> None:
        """Nobody needs anything."""
        self._futures.clear()
        self._jobs.clear()

    def _named(self, key: object, future: Future) -> str:
        name = self._name(key)
        self._futures[name] = future
        return name

    def _name(self, key: object) -> str:
        return self._prefix + hashlib.blake2b(repr(key).encode(), digest_size=12).hexdigest()


def _is_collection(obj: Any) -> bool:
    base = sys.modules.get("dask.base")
    return base is not None and bool(base.is_dask_collection(obj))
