"""Copies of actors' homes, carried between Dask workers, and to and from a place that all hosts reach.

Owns the copies that this Dask worker keeps for others. Never decides who keeps what: `scheduler/stores.py`
does. In Dask's loop. Read next: `copies.py`, `lodging.py`.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from pathlib import Path
from typing import Any

from cellmesh.scheduler.engines.dask.between.lodge import LIVES, Copy, Lodge
from cellmesh.scheduler.engines.dask.between.orders import OP

from . import copies


class Courier:
    """Of one Dask worker."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._folder = Path(worker.local_directory) / "cellmesh-copies"

    async def take(self, comm: Any, do: str, *, name: str, place: str = "") -> Any:
        """Another worker sends a copy to keep, or wants one; or the registry wants one no more."""
        path = self._path(name)
        if do == "keep":
            await copies.receive(comm, path)
            return True
        if do == "fetch":
            await copies.send(path, comm)
            return "dont_reply"
        if place:
            await asyncio.to_thread(copies.Place(place).drop, name)
        else:
            path.unlink(missing_ok=True)
        return None

    async def send(self, home: Path, name: str, order: Lodge, saved: float, *, alone: bool) -> Copy | None:
        """Have this home, or its checkpoint `alone`, kept elsewhere; None: there is nothing, or nobody."""
        if alone and not (home / "checkpoint").exists():
            return None
        archive = self._path(f".{uuid.uuid4().hex}")
        try:
            await asyncio.to_thread(copies.pack, home, archive, alone=alone)
            if order.place:
                await asyncio.to_thread(copies.Place(order.place).put, archive, name)
                return Copy("", order.place, name, saved, not alone)
            address = await getattr(self._worker.scheduler, LIVES)(what="room", actor=order.start.actor)
            if not address:
                return None
            comm = await copies.opened(self._worker, address)
            try:
                await comm.write({"op": OP, "what": "lodge", "do": "keep", "name": name})
                await copies.send(archive, comm)
                await comm.read()
            finally:
                comm.abort()
            return Copy(address, "", name, saved, not alone)
        finally:
            archive.unlink(missing_ok=True)

    async def fetch(self, copy: Copy, home: Path) -> None:
        """Put the copy into this home."""
        archive = self._path(f".{uuid.uuid4().hex}")
        try:
            await self._fetch(copy, archive)
            await asyncio.to_thread(copies.unpack, archive, home)
        finally:
            archive.unlink(missing_ok=True)

    async def _fetch(self, copy: Copy, archive: Path) -> None:
        if copy.place:
            await asyncio.to_thread(copies.Place(copy.place).get, copy.name, archive)
            return
        if copy.address == self._worker.address:
            await asyncio.to_thread(shutil.copyfile, self._path(copy.name), archive)
            return
        comm = await copies.opened(self._worker, copy.address)
        try:
            await comm.write({"op": OP, "what": "lodge", "do": "fetch", "name": copy.name})
            await copies.receive(comm, archive)
        finally:
            comm.abort()

    def close(self) -> None:
        """The worker closes."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        if "/" in name:
            raise PermissionError(f"{name} is no copy of an actor.")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder / name
