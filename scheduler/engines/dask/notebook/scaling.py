"""A cluster grows and shrinks: by the object that started it, which knows how.

Owns what is said to it, and the wait for what comes of that. Never starts a worker itself. Read next:
`../engine.py`, `../connecting.py` (where the object comes from).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from distributed import Client

from cellmesh.scheduler.engines.contract import EngineError

COMING_SECONDS = 60.0
"""So long is waited for workers to come or go; a queue of a batch system takes longer."""

_LOOK_SECONDS = 0.1


class Scaling:
    """Of the cluster of this client; `cluster` is None if only its address is known."""

    def __init__(self, client: Client, cluster: Any) -> None:
        self._client = client
        self._cluster = cluster

    def to(self, least: int, most: int | None, count: Callable[[], int]) -> str:
        """Have so many workers, or as many as the work needs between the two; what came of it.

        `count` is how many there are.
        """
        cluster = self._known()
        if most is not None:
            cluster.adapt(minimum=least, maximum=most)
            return f"the cluster has {count()} workers; Dask keeps {least} to {most}, as the work needs"
        adaptive = getattr(cluster, "_adaptive", None)
        if adaptive is not None:
            adaptive.stop()  # as Dask's own buttons do: else it would scale back
        cluster.scale(least)
        end = time.monotonic() + COMING_SECONDS
        while (there := count()) != least and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        if there == least:
            return f"the cluster has {there} worker{'s' * (there != 1)}"
        others = "others join by themselves as they come" if there < least else "some are still ending"
        return f"the cluster has {there} of {least} workers: {others}"

    def _known(self) -> Any:
        address = self._client.scheduler.address
        if self._cluster is None:
            raise EngineError(
                f"only the address of this cluster is known ({address}), not what starts its workers. "
                f'Connect with its object, cm.connect("dask", cluster), or run: dask worker {address}. '
                "The mesh alone changes by %mesh stop and %mesh start -n N."
            )
        if getattr(self._cluster, "asynchronous", False):
            raise EngineError(
                "the cluster object is asynchronous: scale it yourself, by await cluster.scale(N)."
            )
        if not hasattr(self._cluster, "scale"):
            raise EngineError(
                f"{type(self._cluster).__name__} cannot be scaled; it has as many workers as it has."
            )
        return self._cluster
