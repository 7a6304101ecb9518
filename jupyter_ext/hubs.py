"""This server's hub as seen from the server's event loop: starting it, asking it, ending it.

Owns the connection to the hub and the rule that concurrent rings wait for one start. Never starts a
process itself (the nursery does) and never answers a browser (`handlers.py`, `stream.py`).
Read next: `../scheduler/nursery/start.py`, `../scheduler/engines/observer.py`.
"""

from __future__ import annotations

import asyncio
import os
from logging import Logger, LoggerAdapter
from pathlib import Path
from typing import Any

import msgspec

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.observer import Observer
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.folders import FolderError, is_locked
from cellmesh.scheduler.wire.messages import HubInfo

PRIVATE = frozenset({"cell", "env", "failure", "address"})
"""Fields that a status view does not show: a launching cell's header is between kernel and front end, what an
actor's process has in its environment or failed of is its owner's."""

SECONDS_TO_END = 10.0

GONE = (EngineError, FolderError, OSError, TimeoutError)


class Hubs:
    """At most one hub: it starts at the first ring, and again if it has ended since."""

    def __init__(self, *, log: Logger | LoggerAdapter[Any]) -> None:
        self._log = log
        self._starting = asyncio.Lock()
        self._folder: Path | None = None
        self._observer: Observer | None = None
        self._ended = False

    async def ensure(self) -> Path:
        """The folder of the running hub. Raises HubStartError or FolderError with a sentence."""
        async with self._starting:
            if self._folder is None or not is_locked(self._folder / "lock"):
                self._forget()
                start = asyncio.to_thread(ensure_hub, name=f"server-{os.getpid()}", owner=os.getpid())
                self._folder = await start
                if self._ended:  # the server stopped while the hub started
                    await self._end_hub()
            return self._folder

    async def status(self) -> HubInfo | None:
        """What the hub says of itself; None if there is no hub."""
        observer = self._look()
        if observer is None:
            return None
        try:
            return await observer.status()
        except GONE as error:
            self._log.debug("cellmesh: the hub does not answer: %s", error)
            if observer is self._observer:
                self._forget_observer()
            return None

    async def end(self) -> None:
        """End the hub and all that it runs; the next ring starts another, unless the server stops."""
        await self._end_hub()

    async def close(self) -> None:
        """The server stops: end the hub, also one that is only starting."""
        self._ended = True
        async with self._starting:
            await self._end_hub()

    async def _end_hub(self) -> None:
        info, observer = await self.status(), self._look()
        if observer is not None:
            try:
                await observer.end()
            except GONE as error:
                self._log.debug("cellmesh: the hub had ended before: %s", error)
        self._forget()
        if info is not None:  # so that a ring right after starts a new hub and does not find the dying one
            await asyncio.to_thread(_wait_for_end, info.nursery)

    def _look(self) -> Observer | None:
        if self._folder is None:
            return None
        if not is_locked(self._folder / "lock"):
            self._forget()
            return None
        if self._observer is None:
            try:
                self._observer = Observer(self._folder)
            except GONE as error:
                self._log.debug("cellmesh: the hub cannot be reached: %s", error)
        return self._observer

    def _forget(self) -> None:
        self._forget_observer()
        self._folder = None

    def _forget_observer(self) -> None:
        if self._observer is not None:
            self._observer.close()
            self._observer = None


def _wait_for_end(pid: int) -> None:
    descriptor = system.watch_process(pid)
    if descriptor is not None:
        try:
            system.wait_readable(descriptor, SECONDS_TO_END)
        finally:
            os.close(descriptor)
    try:
        os.waitpid(pid, os.WNOHANG)  # it is our child: leave no zombie
    except ChildProcessError:
        pass


def plain(value: Any) -> Any:
    """A wire record as JSON has it: named fields, and none of the private ones."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__ if name not in PRIVATE}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
