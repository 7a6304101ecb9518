"""The way from a notebook to a Dask worker: straight, or through the scheduler where it can reach no more.

Owns how each worker is reached, as it was found out: straight if that works, and a worker that did not answer
is asked through the scheduler while that is tried. Never knows what is said. Read next:
`scheduler/relay.py` (the scheduler's end), `mirror.py`, `ears.py`.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from functools import partial
from typing import Any

from distributed import Client
from distributed.comm import connect

from cellmesh.scheduler.engines.dask.between.streams import CONNECT_SECONDS
from cellmesh.scheduler.engines.dask.scheduler.relay import RELAY

HEAD_START = 1.0
"""So long is a worker tried straight before it is asked through the scheduler, too."""

SURE_SECONDS = 600.0
"""So long it is believed that a worker cannot be reached straight: networks change."""

_ways: weakref.WeakKeyDictionary[Client, Ways] = weakref.WeakKeyDictionary()


async def opened(client: Client, address: str) -> Any:
    """A comm to this Dask worker. In Dask's loop; bounded in time, OSError if there is none."""
    return await ways(client).opened(address)


def ways(client: Client) -> Ways:
    """What is known of the network around this client."""
    return _ways.setdefault(client, Ways(client))


class Ways:
    """Of one client. In Dask's loop."""

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self._until: dict[str, float] = {}  # through the scheduler, by address; then it is tried again
        self._trying: dict[str, asyncio.Task[Any]] = {}  # straight, while it goes through the scheduler
        self._walled: bool | None = None  # the last could not be reached straight: the next is like it

    async def opened(self, address: str) -> Any:
        """As the function of this name."""
        if address in self._trying or self._until.get(address, 0.0) > time.monotonic():
            return await self._relayed(address)
        straight = asyncio.ensure_future(self._connected(address))
        try:
            await asyncio.wait([straight], timeout=0.0 if self._walled else HEAD_START)
            if not straight.done() or straight.exception() is not None:
                return await self._either(address, straight)
        except (asyncio.CancelledError, _NoWorkerError):
            straight.add_done_callback(_unwanted)
            straight.cancel()
            raise
        self._walled = False
        return straight.result()

    async def straight(self) -> bool:
        """Whether workers are reached straight, as far as we know; tries one if we know of none."""
        client = self._client()
        if self._walled is None and client is not None:
            for address in (await client.scheduler.identity(n_workers=1))["workers"]:
                (await self.opened(address)).abort()
                if address in self._trying:
                    await asyncio.wait([self._trying[address]])
        return not self._walled

    async def _either(self, address: str, straight: asyncio.Task[Any]) -> Any:
        """Through the scheduler, or straight if only that works; which of them is known next time."""
        try:
            comm = await self._relayed(address)
        except _NoWorkerError:
            raise
        except (OSError, TimeoutError) as error:
            try:
                return await straight
            except (OSError, TimeoutError) as first:
                raise OSError(f"{first or 'it takes too long'}; through the scheduler: {error}") from first
        self._trying[address] = straight
        straight.add_done_callback(partial(self._tried, address))
        return comm

    def _tried(self, address: str, straight: asyncio.Task[Any]) -> None:
        if self._trying.get(address) is straight:
            del self._trying[address]
        self._walled = not _unwanted(straight)
        if self._walled:
            self._until[address] = time.monotonic() + SURE_SECONDS

    async def _relayed(self, address: str) -> Any:
        client = self._client()
        if client is None or client.scheduler is None:
            raise OSError("the client is closed")
        comm = await self._connected(client.scheduler.address)
        try:
            await comm.write({"op": RELAY, "address": address})
            answer = await asyncio.wait_for(comm.read(), 2 * CONNECT_SECONDS)
            if answer is False:
                raise _NoWorkerError("no worker of that address")
            if answer is not True:
                raise OSError(answer or "it does not pass anything on")
        except BaseException:
            comm.abort()
            raise
        return comm

    async def _connected(self, address: str) -> Any:
        client = self._client()
        if client is None:
            raise OSError("the client is closed")
        connecting = connect(address, timeout=CONNECT_SECONDS, **client.connection_args)
        return await asyncio.wait_for(connecting, CONNECT_SECONDS)  # Dask waits for a greeting for ever


class _NoWorkerError(OSError):
    """The scheduler knows of none at this address."""


def _unwanted(straight: asyncio.Task[Any]) -> bool:
    """Whether it has connected, which nobody waits for."""
    if straight.cancelled() or straight.exception() is not None:
        return False
    straight.result().abort()
    return True
