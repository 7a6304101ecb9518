"""Comms of notebooks to workers that they cannot reach: the scheduler passes them on.

Owns the passing on of whole messages, both ways; none is looked into. Only workers of this scheduler are
connected to, with the TLS of the scheduler. Read next: `notebook/ways.py` (the notebook's end),
`keeper.py`, which installs this.
"""

from __future__ import annotations

from typing import Any

from distributed.comm import connect
from distributed.core import Status

from cellmesh.scheduler.engines.dask.between.orders import OP
from cellmesh.scheduler.engines.dask.between.streams import CONNECT_SECONDS, both, passed

RELAY = f"{OP}_relay"
"""The request: what comes after it goes to the worker, and back."""


class Relay:
    """Of one Dask scheduler."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    async def handle(self, comm: Any, address: str) -> Any:
        """Until one of the two hangs up. Answers True, or False if it is no worker, or why it fails."""
        if address not in self._scheduler.workers:
            return False
        args = self._scheduler.connection_args
        try:
            there = await connect(address, timeout=CONNECT_SECONDS, deserialize=False, **args)
        except OSError as error:
            return str(error)
        try:
            await comm.write(True)
            await both(passed(comm, there), passed(there, comm))
        finally:
            there.abort()
            comm.abort()
        return Status.dont_reply
