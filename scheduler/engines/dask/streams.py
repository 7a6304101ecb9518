"""Bytes of a Unix socket through one of Dask's comms, both ways, as `ssh -L` would forward them.

Owns the pumping. Never looks into the bytes. Both ends use it: the notebook's (`mirror.py`) and the Dask
worker's (`plugin.py`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from distributed.comm import CommClosedError

CHUNK = 1 << 20
"""Bytes that travel as one message at most."""


async def pump(comm: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one of the two ends; then both are closed."""
    ways = [asyncio.ensure_future(_out(comm, reader)), asyncio.ensure_future(_in(comm, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()
        comm.abort()


async def _out(comm: Any, reader: asyncio.StreamReader) -> None:
    with suppress(CommClosedError, OSError):
        while data := await reader.read(CHUNK):
            await comm.write(data)


async def _in(comm: Any, writer: asyncio.StreamWriter) -> None:
    with suppress(CommClosedError, OSError):
        while True:
            writer.write(await comm.read())
            await writer.drain()
