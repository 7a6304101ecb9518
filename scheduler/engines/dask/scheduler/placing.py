"""On which Dask worker an actor can live: what each has, and what actors hold there.

Owns the choice. Knows nothing of Dask. Read next: `registry.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cellmesh.scheduler.core.amounts import gigabytes, plural
from cellmesh.scheduler.wire.records import ActorOptions

NO_WORKERS = "the Dask cluster has no workers: start some, as by cluster.scale(2)"


@dataclass(slots=True)
class Room:
    """A Dask worker: what it has for actors in all, and what is left of that."""

    address: str
    threads: int
    gpus: float
    memory: int  # 0: nobody counts
    gpus_left: float
    cpus_left: float
    memory_left: int
    busy: float = 0.0  # GPUs that tasks of Dask's have or wait for
    actors: int = 0


def never(rooms: Sequence[Room], need: ActorOptions) -> str:
    """Why no worker can ever have such an actor, for people; empty if one can."""
    if not rooms:
        return NO_WORKERS
    if need.gpus < 0 or (need.gpus > 1 and need.gpus % 1):
        return f"gpus={need.gpus:g}: an actor takes a part of one GPU (like 0.5) or whole ones (1, 2, ...)"
    if need.cpus < 0 or need.memory < 0:
        return "cannot take less than nothing"
    if any(fits_ever(room, need) for room in rooms):
        return ""
    asked, there = _lacking(rooms, need)
    return f"needs {asked}; of the {plural(len(rooms), 'Dask worker')} {there}"


def choose(rooms: Sequence[Room], need: ActorOptions, prefer: str = "") -> Room | None:
    """The one with the fewest actors for its threads that has room now."""
    fit = [room for room in rooms if _fits(room, need)]
    if not fit:
        return None
    idle = [room for room in fit if room.gpus_left - room.busy >= need.gpus] if need.gpus else fit
    return min(idle or fit, key=lambda room: (room.address != prefer, (room.actors + 1) / room.threads))


def missing(rooms: Iterable[Room], need: ActorOptions, holders: Sequence[str]) -> str:
    """What it waits for, for people."""
    able = [room for room in rooms if fits_ever(room, need)]
    if not able:
        return "waiting for a Dask worker that has what it needs"
    if need.gpus and not any(room.gpus_left >= need.gpus for room in able):
        what = plural(int(need.gpus), "GPU") if need.gpus >= 1 else f"{need.gpus:g} GPU"
    elif need.cpus and not any(room.cpus_left >= need.cpus for room in able):
        what = f"{need.cpus:g} cores"
    else:
        what = f"{gigabytes(need.memory)} of memory"
    return f"waiting for {what}, held by {', '.join(holders)}" if holders else f"waiting for {what}"


def fits_ever(room: Room, need: ActorOptions) -> bool:
    """Whether the worker could have it if nobody else were there."""
    return (
        need.gpus <= room.gpus
        and need.cpus <= room.threads
        and (not room.memory or need.memory <= room.memory)
    )


def _fits(room: Room, need: ActorOptions) -> bool:
    return (
        fits_ever(room, need)
        and need.gpus <= room.gpus_left
        and need.cpus <= room.cpus_left
        and (not room.memory or need.memory <= room.memory_left)
    )


def _lacking(rooms: Sequence[Room], need: ActorOptions) -> tuple[str, str]:
    gpus = max(room.gpus for room in rooms)
    if need.gpus > gpus:
        has = f"none declares more than {gpus:g}" if gpus else 'none declares any (as by --resources "GPU=1")'
        return f"{need.gpus:g} GPU{'s' * (need.gpus > 1)}", has
    if need.cpus > (threads := max(room.threads for room in rooms)):
        return f"{need.cpus:g} cores", f"none has more than {plural(threads, 'thread')}"
    if need.memory > (memory := max(room.memory for room in rooms)):
        return f"{gigabytes(need.memory)} of memory", f"none has more than {gigabytes(memory)}"
    wanted = [f"{need.gpus:g} GPU"] * (need.gpus > 0) + [f"{need.cpus:g} cores"] * (need.cpus > 0)
    wanted += [f"{gigabytes(need.memory)} of memory"] * (need.memory > 0)
    return " and ".join(wanted), "none has all of that"
