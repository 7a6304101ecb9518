"""An onlooker at a hub, for an asyncio program: the Jupyter server's status routes.

Owns one DEALER in the caller's event loop. Never submits work. Read next: `embedded.py`.
"""

import asyncio
import itertools
import uuid
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from cellmesh.scheduler.wire import folders, messages as msg
from cellmesh.scheduler.wire.link import Link

from .contract import EngineError


class Observer:
    """Ask a hub how things are.

    >>> # observer = Observer(folder); info = await observer.status(); observer.close()
    """

    def __init__(self, folder: Path) -> None:
        connection = folders.read_connection(folder)
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._name = uuid.uuid4().hex[:12]
        self._socket.setsockopt(zmq.IDENTITY, b"o" + self._name.encode())
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.connect(connection.socket)
        self._frames: list[bytes] = []
        self._link: Link[Any] = Link(msg.ToClient, self._frames.append)
        self._requests = itertools.count(1)
        self._busy = asyncio.Lock()

    async def status(self, timeout: float = 5.0) -> msg.HubInfo:  # noqa: ASYNC109 - also a deadline for zmq
        """Everything the hub knows; raises EngineError if it does not answer."""
        async with self._busy:
            request = next(self._requests)
            try:
                async with asyncio.timeout(timeout):
                    await self._say(msg.AskStatus(request))
                    while True:
                        for message in self._link.receive(await self._socket.recv()):
                            if isinstance(message, msg.Status) and message.request == request:
                                return message.hub
            except TimeoutError:
                raise EngineError(f"The hub did not answer within {timeout:g} s.") from None

    async def end(self) -> None:
        """End the hub, its sessions and its workers, now."""
        async with self._busy:
            await self._say(msg.EndHubNow())

    async def _say(self, message: Any) -> None:
        """As a greeting, each time: the hub forgets an onlooker after every frame of its."""
        self._link.reconnect(message)
        while self._frames:
            await self._socket.send(self._frames.pop(0))

    def close(self) -> None:
        """Let go of the hub."""
        self._socket.close()
        self._context.term()
