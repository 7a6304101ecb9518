"""What the Dask workers of a scheduler have left for actors.

Owns the counting. Never chooses: `placing.py` does. Read next: `hosting.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cellmesh.scheduler.engines.dask.between.orders import GPU

from .known import Book
from .placing import Room


def found(workers: Mapping[str, Any], book: Book, without: Collection[str]) -> list[Room]:
    """One for each of Dask's workers, but for those that close."""
    rooms = {address: _empty(address, ws) for address, ws in workers.items() if address not in without}
    for actor in book.living.values():
        room = rooms.get(actor.worker)
        if room is None:
            continue
        need = actor.start.options
        room.actors += 1
        room.cpus_left -= need.cpus
        room.memory_left -= need.memory
        if actor.pinned:  # the worker declares as much less
            room.gpus = round(room.gpus + need.gpus, 3)
        else:
            room.gpus_left = round(room.gpus_left - need.gpus, 3)
    return list(rooms.values())


def _empty(address: str, ws: Any) -> Room:
    gpus = ws.resources.get(GPU, 0)
    memory = ws.memory_limit or 0
    busy = sum((task.resource_restrictions or {}).get(GPU, 0) for task in ws.processing)
    return Room(address, ws.nthreads, gpus, memory, gpus, ws.nthreads, memory, busy)
