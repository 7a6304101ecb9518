"""Large values on a Dask worker's host: segments of the hub beside it, from a notebook or from another host.

Owns how they come and go over Dask's comms. The hub owns them once it is told of them, and sweeps them up if
it never is. Never keeps a second copy on one machine. Read next: `notebook/freight.py` (the notebook's end).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from distributed.comm import connect
from distributed.core import Status
from distributed.protocol import to_serialize

from cellmesh.scheduler.engines.dask.between.streams import CONNECT_SECONDS, sent
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire.messages import Ref

from .beside import Beside

CHUNK = 4 << 20
"""Bytes that travel as one message."""


class Stock:
    """Of one Dask worker. In Dask's loop."""

    def __init__(self, worker: Any, beside: Beside, op: str) -> None:
        self._worker = worker
        self._beside = beside
        self._op = op
        self._numbers = count(1)

    async def take(self, comm: Any, size: int, marks: str, source: str, name: str) -> str:
        """Make a segment of what comes over this comm, or of that segment of another worker; its name."""
        here = f"{self._beside.prefix()}d{os.getpid():x}-{next(self._numbers):x}{marks}"
        if source and _same(name, size):
            os.link(segments.path_of(name), segments.path_of(here))
            return here
        try:
            if source:
                there = await connect(source, timeout=CONNECT_SECONDS, **self._worker.connection_args)
                try:
                    await there.write({"op": self._op, "what": "give", "name": name, "size": size})
                    await _filled(here, there, size)
                finally:
                    there.abort()
            else:
                await _filled(here, comm, size)
        except BaseException:
            segments.unlink(here)
            raise
        return here

    async def give(self, comm: Any, name: str, size: int) -> Any:
        """Send what is in one of the hub's segments."""
        if not self._beside.segment(name):
            raise PermissionError(f"{name} is no object of cellmesh.")
        view = segments.view(Ref(name, size))
        for start in range(0, size, CHUNK):
            await sent(comm, to_serialize(view[start : start + CHUNK]))
        return Status.dont_reply


def _same(name: str, size: int) -> bool:
    """Whether that worker's memory is this one's, too: they are on one machine."""
    try:
        return os.stat(segments.path_of(name)).st_size == size
    except FileNotFoundError:
        return False


async def _filled(name: str, comm: Any, size: int) -> None:
    # not mapped: memory that is full is an error of a write, but kills who touches a page
    fd = os.open(segments.path_of(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    failed = None
    try:
        done = 0
        async for chunk in chunks(comm, size):
            try:
                while chunk and failed is None:
                    written = os.pwrite(fd, chunk, done)
                    done += written
                    chunk = chunk[written:]
            except OSError as error:
                failed = error  # told when the sender is ready to hear it
    finally:
        os.close(fd)
    if failed is not None:
        raise failed


async def chunks(comm: Any, size: int) -> AsyncIterator[memoryview]:
    """What somebody gives, as it comes."""
    done = 0
    while done < size:
        message = await comm.read()
        if isinstance(message, dict):
            raise OSError(f"it was not given: {message.get('exception_text')}")
        chunk = memoryview(message).cast("B")
        done += len(chunk)
        yield chunk
