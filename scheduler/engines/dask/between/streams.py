"""What goes through Dask's comms both ways until one side ends: bytes of a Unix socket, or whole messages.

Owns the pumping; what cannot be sent yet is not read. Never looks into what passes. The notebook's end
(`notebook/mirror.py`), the Dask worker's (`worker/plugin.py`) and the scheduler's (`scheduler/relay.py`)
use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from distributed.comm import CommClosedError

CHUNK = 1 << 20
"""Bytes that travel as one message at most."""

CONNECT_SECONDS = 5.0


async def pump(comm: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes as `ssh -L` would forward them, until one of the two ends; then both are closed."""
    try:
        await both(_out(comm, reader), _in(comm, writer))
    finally:
        writer.close()
        comm.abort()


async def both(*ways: Coroutine[Any, Any, None]) -> None:
    """Until one of them ends."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def passed(here: Any, there: Any) -> None:
    """Each message of one comm to the other, until one of them is closed."""
    with suppress(CommClosedError, OSError):
        while True:
            await sent(there, await here.read())


async def sent(comm: Any, message: Any) -> None:
    """Write it, and wait until the system has taken it all: Dask's TCP keeps any amount that it has not."""
    await comm.write(message)
    stream = getattr(comm, "stream", None)
    if stream is not None and stream.writing():
        await stream.write(b"")


async def _out(comm: Any, reader: asyncio.StreamReader) -> None:
    with suppress(CommClosedError, OSError):
        while data := await reader.read(CHUNK):
            await sent(comm, data)


async def _in(comm: Any, writer: asyncio.StreamWriter) -> None:
    with suppress(CommClosedError, OSError):
        while True:
            writer.write(await comm.read())
            await writer.drain()
