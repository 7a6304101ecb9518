"""A task between being submitted and its results' being claimed.

Owns these two records. Never decides anything. Read next: `book.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cellmesh.scheduler.engines.dask.between.keys import Key
from cellmesh.scheduler.wire.messages import Payload, Progress, TaskWire


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task as it was submitted, with what it refers to."""

    task: TaskWire
    blobs: dict[str, Payload]  # by digest
    needs: Sequence[str]  # names of large objects


@dataclass(slots=True, eq=False)
class Sent:
    """A task that is with Dask, until its results are claimed."""

    job: int
    task: TaskWire
    key: Key
    future: Any = None  # of Dask's
    worker: str = ""  # the address of the Dask worker that runs it, once it has begun
    blobs: dict[str, Payload] = field(default_factory=dict)  # what it refers to by digest
    needs: Sequence[str] = ()  # names of the large objects that it refers to
    where: tuple[str, ...] = ()  # the addresses of those that could run it, if not all could
    refs: dict[int, str] = field(default_factory=dict)  # names of its large results, as first told
    progress: Progress | None = None  # the latest word of how far it is
    heard: int = 0  # so many of its outputs were told
    late: bool = False
    lost: str = ""  # why the process of its own is gone in which it ran
    stopping: bool = False
    over: bool = False
    unwanted: bool = False  # it is over, and should not run
    deaths: int = 0  # Dask workers that died while it ran there
    moves: int = 0  # those that died while it waited there, or as it began
    done: list[int] = field(default_factory=list)  # items that an earlier attempt has brought

    @property
    def attempt(self) -> int:
        """The number of this run of it."""
        return self.key.attempt

    def let_go(self) -> None:
        """Dask need not keep it for us: its future and what waits for that refer to each other."""
        future, self.future = self.future, None
        if future is not None:
            future.release()
