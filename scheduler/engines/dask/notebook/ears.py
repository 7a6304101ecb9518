"""What Dask workers tell a notebook of its tasks, over a comm to each that has some.

Owns these comms, in Dask's loop. A worker that begins something for a session that does not listen to it says
so through the scheduler; then it is listened to. Never knows what the news mean: `pool.py` does. Read next:
`worker/voices.py` (the other end).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from distributed import Client, Future
from distributed.comm import CommClosedError

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.between.orders import (
    NOBODY,
    OP,
    Drop,
    News,
    Stop,
    encode,
    read_news,
    topic,
)

from .mirror import ask_async
from .ways import opened

RETRY_SECONDS = 0.1


class Ears:
    """Of one session. Called in Dask's loop: `heard`, with a worker's address and its news; `deserted`, if
    there are no workers for what waits.
    """

    def __init__(
        self,
        client: Client,
        session: str,
        heard: Callable[[str, list[News]], None],
        deserted: Callable[[], None],
    ) -> None:
        self._client = client
        self._session = session
        self._heard = heard
        self._deserted = deserted
        self._comms: dict[str, Any] = {}  # by address; None while one is opened
        self._tasks: set[asyncio.Task[None]] = set()
        self.open()

    def open(self) -> None:
        """Have workers announce themselves; again if the scheduler has forgotten that. Any thread."""
        self._client.subscribe_topic(topic(self._session), self._announced)

    def close(self) -> None:
        """Listen no more. Any thread but Dask's: waits, as a client that closes ends no comms of ours."""
        if self._client.status == "running":
            self._client.unsubscribe_topic(topic(self._session))
        if self._client.status != "closed":
            self._client.sync(self._close)

    def reconnected(self, then: Callable[[bool], object]) -> None:
        """Call `then` when Dask is connected to its scheduler again (True), or has given that up."""
        self._client.loop.add_callback(self._reconnected, then)

    async def _reconnected(self, then: Callable[[bool], object]) -> None:
        while self._client.status == "connecting":  # noqa: ASYNC110 - nobody tells how that ends
            await asyncio.sleep(RETRY_SECONDS)
        then(self._client.status == "running")

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _announced(self, event: tuple[float, str]) -> None:
        if event[1] == NOBODY:
            self._deserted()
        else:
            self._begin(event[1])

    def listen(self, address: str) -> None:
        """Hear of what runs there already. Any thread."""
        self._client.loop.add_callback(self._begin, address)

    def _begin(self, address: str) -> None:
        if address not in self._comms:
            self._comms[address] = None
            task = asyncio.ensure_future(self._listen(address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _listen(self, address: str) -> None:
        comm = None
        try:
            comm = await opened(self._client, address)
            await comm.write({"op": OP, "reply": False, "what": "listen", "session": self._session})
            self._comms[address] = comm
            while True:
                self._heard(address, read_news(await comm.read()))
        except (CommClosedError, OSError):
            pass  # it is gone, or will announce itself again
        finally:
            self._comms.pop(address, None)
            if comm is not None:
                comm.abort()

    def stop(self, address: str, attempt: int) -> None:
        """Have that worker interrupt this attempt. Any thread."""
        self._client.loop.add_callback(self._stop, address, attempt)

    async def _stop(self, address: str, attempt: int) -> None:
        comm = self._comms.get(address)
        with suppress(CommClosedError, OSError, EngineError):  # it is gone, and what ran there
            if comm is not None:
                await comm.write(encode(Stop(attempt)))
            else:
                await ask_async(self._client, address, "stop", attempt=attempt)

    def drop_job(self, job: int, through: int) -> None:
        """Have no worker begin attempts of this job up to this one. Any thread."""
        self._client.loop.add_callback(self._drop_job, encode(Drop(job, through)))

    async def _drop_job(self, wish: bytes) -> None:
        for comm in [comm for comm in self._comms.values() if comm is not None]:
            with suppress(CommClosedError, OSError):
                await comm.write(wish)

    def drop(self, through: int) -> None:
        """Have all workers interrupt the attempts up to this one, also those that begin only now."""
        message = {"op": OP, "what": "drop", "session": self._session, "through": through}
        if self._client.status != "running":
            return  # a scheduler that is gone has stopped them already
        with suppress(OSError):
            self._client.sync(self._client.scheduler.broadcast, msg=message, on_error="ignore")

    def fetch(self, future: Future, then: Callable[[Any], object], what: str, **about: Any) -> None:
        """Ask a worker that holds this task's value about it; `then` is called with None if none answers."""
        self._client.loop.add_callback(self._fetch, future, then, what, about)

    async def _fetch(
        self, future: Future, then: Callable[[Any], object], what: str, about: dict[str, Any]
    ) -> None:
        answer = None
        try:
            answer = await self.ask_holder(future, what, **about)
        finally:
            then(answer)

    async def ask_holder(self, future: Future, what: str, **about: Any) -> Any:
        """The answer of whoever holds this task's value, once somebody does; None if nobody will."""
        while True:
            await future._state.wait()  # the public ways are for a default client, or raise what it raised
            if future.status != "finished":
                return None
            holders = (await self._client.who_has([future])).get(future.key, ())
            for address in holders:
                with suppress(EngineError):
                    answer = await ask_async(self._client, address, what, key=future.key, **about)
                    if answer is not None:
                        return answer
            await asyncio.sleep(RETRY_SECONDS)  # it is being computed again, or on its way elsewhere
