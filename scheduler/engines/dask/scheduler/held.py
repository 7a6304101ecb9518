"""Dask workers beside which a notebook's mesh lives: an adaptive cluster must not take them for idle.

Owns which they are, in the scheduler, and leaves them out when Dask asks which workers may close: what runs
beside a worker is no task, so Dask does not see it. Never keeps a worker that is told to close. Read next:
`keeper.py`, which frees them with their session.
"""

from __future__ import annotations

from typing import Any

from cellmesh.scheduler.engines.dask.between.orders import OP

HOLD = f"{OP}_hold"
"""The request."""


class Held:
    """Of one Dask scheduler."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._by_session: dict[str, set[str]] = {}
        self._find = scheduler.workers_to_close
        # Dask offers no other way to say this than tasks, which would each take a thread there.
        scheduler.workers_to_close = scheduler.handlers["workers_to_close"] = self._may_close

    def hold(self, session: str, workers: list[str]) -> bool:
        """The mesh of this session is beside these now."""
        self._by_session[session] = set(workers)
        return True

    def free(self, session: str) -> None:
        """The session is over."""
        self._by_session.pop(session, None)

    def _may_close(self, attribute: str = "address", **about: Any) -> list[Any]:
        held = set().union(*self._by_session.values())
        found = self._find(**about)
        if not held.isdisjoint(found):
            count = len(found)
            if about.get("n") is not None or about.get("target") is not None:  # so many: others instead
                found = self._find(n=len(self._scheduler.workers))
            found = [address for address in found if address not in held][:count]
        return [getattr(self._scheduler.workers[address], attribute) for address in found]
