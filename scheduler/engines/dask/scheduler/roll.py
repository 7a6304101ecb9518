"""Who there is in a cluster: what the scheduler knows of its workers, in a few bytes each.

Owns the request, and how it is kept short: who knows the present state is told nothing again. Never looks at
tasks but to count them. Read next: `keeper.py` (installs this in the scheduler), `notebook/fleet.py` (asks).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
from distributed import Client

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.between.orders import GPU, OP

from .held import HOLD
from .placing import NO_WORKERS

ROLL = f"{OP}_roll"
"""The request for who there is."""

LOADS = f"{OP}_loads"
"""The one for what they have to do."""


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A Dask worker."""

    address: str
    name: str
    threads: int
    memory: int
    resources: dict[str, float]  # the most that it ever declared: actors take theirs from that

    @property
    def host(self) -> str:
        """The address of its machine."""
        return self.address.rpartition("://")[2].rpartition(":")[0]

    @property
    def gpus(self) -> int:
        """Whole ones."""
        return int(self.resources.get(GPU, 0))


class Load(msgspec.Struct, frozen=True, array_like=True):
    """What a Dask worker has to do at the moment."""

    memory: int  # bytes in use
    tasks: int  # that run there, or wait for that


class Roll:
    """In the scheduler."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._most: dict[str, dict[str, float]] = {}  # resources, by address

    def left(self, address: str) -> None:
        """A worker has gone."""
        self._most.pop(address, None)

    def handle(self, known: int) -> tuple[int, bytes]:
        """A mark of the present state, and the members; b"" if the mark is known."""
        found = msgspec.msgpack.encode([self._member(each) for each in self._scheduler.workers.values()])
        mark = zlib.crc32(found)
        return mark, b"" if mark == known else found

    def loads(self) -> bytes:
        """What each has to do, by address."""
        return msgspec.msgpack.encode(
            {
                each.address: Load(each.metrics.get("memory", 0), len(each.processing))
                for each in self._scheduler.workers.values()
            }
        )

    def _member(self, worker: Any) -> Member:
        most = self._most.setdefault(worker.address, {})
        for name, amount in worker.resources.items():
            most[name] = max(amount, most.get(name, 0))
        return Member(worker.address, str(worker.name), worker.nthreads, worker.memory_limit or 0, most)


class Members:
    """In a notebook. Any thread but Dask's."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._mark = -1
        self._known: list[Member] = []

    def now(self) -> list[Member]:
        """Those that there are, in the order of their addresses. Waits for the scheduler."""
        mark, found = self._asked(ROLL, known=self._mark)
        if found:
            members = msgspec.msgpack.decode(found, type=list[Member])
            self._known = sorted(members, key=lambda member: member.address)
            self._mark = mark
        return self._known

    def loads(self) -> dict[str, Load]:
        """What each has to do, by address. Waits for the scheduler."""
        return msgspec.msgpack.decode(self._asked(LOADS), type=dict[str, Load])

    def hold(self, session: str, workers: list[str]) -> None:
        """Beside these is a mesh: they are not idle. Waits for the scheduler."""
        self._asked(HOLD, session=session, workers=workers)

    def _asked(self, what: str, **about: Any) -> Any:
        try:
            answer = self._client.sync(getattr(self._client.scheduler, what), **about)
        except OSError as error:
            raise EngineError(f"The Dask scheduler does not answer ({error}).") from error
        if answer is None:
            raise EngineError("The Dask scheduler was started anew: a moment, and try again.")
        return answer


def gpus_of(members: Sequence[Member]) -> tuple[str, ...]:
    """A name for each GPU there is."""
    return tuple(f"{member.name} GPU {number}" for member in members for number in range(member.gpus))


def placed(
    numbers: list[int], members: list[Member], used: dict[str, int], gpus: int
) -> dict[str, list[int]]:
    """Hosts for these: always where the fewest are for the threads (or GPUs) that there are."""
    if not members:
        raise EngineError(f"{NO_WORKERS[0].upper()}{NO_WORKERS[1:]}.")
    rooms = {member.address: member.gpus // gpus if gpus else member.threads for member in members}
    there: dict[str, list[int]] = {}
    for number in numbers:
        free = [each for each, room in rooms.items() if not gpus or used.get(each, 0) < room]
        if not free:
            raise EngineError(f"No Dask worker has {gpus} free GPUs for mesh worker {number}.")
        best = min(free, key=lambda each: (used.get(each, 0) + 1) / rooms[each])
        used[best] = used.get(best, 0) + 1
        there.setdefault(best, []).append(number)
    return there
