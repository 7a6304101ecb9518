"""Tasks on their way to Dask: many in one graph, with what they need as dependencies.

Owns what of the blobs is in Dask's memory, and how a task of ours becomes one of Dask's. Never waits. Read
next: `pool.py`, `worker/work.py` (the other end).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from distributed import Client, Future

from cellmesh.scheduler.engines.dask.between.lodge import HELD
from cellmesh.scheduler.engines.dask.between.orders import Order, encode
from cellmesh.scheduler.engines.dask.worker import work
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Interpreter, Payload, Ref, Run, TaskWire

from .guests import Guests
from .puts import GONE, Puts
from .sent import Sent

SMALL = 4096
"""What is smaller travels with each task that needs it: a dependency costs the scheduler more."""

_FEW = 32
_SMALL_FOR_FEW = 4 * SMALL
"""So it is with larger things of so few tasks: Dask would put these all where the dependency lies, one behind
the other. Many at once it spreads by itself."""


class Sender:
    """Of one session. `find` gives a large result by its name: the name that it has now, and where it is.

    For one thread.
    """

    def __init__(
        self,
        client: Client,
        session: str,
        puts: Puts,
        guests: Guests,
        find: Callable[[str], tuple[str, Future] | None],
    ) -> None:
        self._client = client
        self._session = session
        self._puts = puts
        self._guests = guests
        self._find = find
        self._placed: dict[str, Future] = {}  # blobs that are in Dask's memory
        self._context = ""
        self._interpreter = b""

    def set_context(self, interpreter: Interpreter) -> None:
        """What is sent from now on runs with these surroundings."""
        self._interpreter = msgspec.msgpack.encode(interpreter)
        self._context = codec.digest(self._interpreter)

    def drop_blob(self, digest: str) -> None:
        """Nothing that is sent from now on refers to it."""
        self._placed.pop(digest, None)

    def clear(self) -> None:
        """Nothing of this session is needed in Dask's memory any more."""
        self._placed.clear()

    def place(self, tasks: Sequence[Sent]) -> list[tuple[Sent, str]]:
        """Find out who could run these; those that nobody ever could, and why.

        Without any workers, some may come.
        """
        special = [sent for sent in tasks if sent.task.gpus or sent.task.memory or sent.task.cpus > 1]
        if not special:
            return []
        known = self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"]
        workers = {address: Most.of(one) for address, one in known.items()}
        impossible = []
        for sent in special:
            fit = [address for address, most in workers.items() if not _why_not(sent.task, [most])]
            sent.where = tuple(fit) if len(fit) < len(workers) else ()
            if workers and not fit:
                impossible.append((sent, _why_not(sent.task, list(workers.values()))))
        return impossible

    def send(self, tasks: Sequence[Sent]) -> None:
        """Hand these over to Dask; each gets its future."""
        small = _SMALL_FOR_FEW if len(tasks) <= _FEW else SMALL
        for (gpus, priority, where), group in groupby(
            tasks, lambda sent: (sent.task.gpus, sent.task.priority, sent.where)
        ):
            some = list(group)
            orders = [self._order(sent, small) for sent in some]
            futures = self._client.map(
                work.execute,
                [encode(order) for order, _ in orders],
                [held for _, held in orders],
                key=[str(sent.key) for sent in some],
                pure=False,
                priority=priority,
                workers=list(where) or None,
                resources={"GPU": gpus} if gpus else None,
            )
            for sent, future in zip(some, futures, strict=True):
                sent.future = future

    def _order(self, sent: Sent, small: int) -> tuple[Order, list[Future]]:
        inline: dict[str, Payload] = {}
        held: dict[str, Future] = {}
        for digest, data in {self._context: self._interpreter, **sent.blobs}.items():
            if isinstance(data, Ref) or len(data) <= small:
                inline[digest] = data
            else:
                held[digest] = self._place(digest, data)
        for name in sent.needs:
            if self._puts.content(name) is not None:
                held[name] = self._puts.placed(name)
            elif (guest := self._guests.find(name)) is not None:
                held[name] = guest
            elif (found := self._find(name)) is not None:
                held[f"{name}|{found[0]}"] = found[1]
        run = Run(sent.attempt, sent.job, sent.task, self._context, sent.done)
        return Order(self._session, run, inline, list(held)), list(held.values())

    def _place(self, digest: str, data: bytes) -> Future:
        future = self._placed.get(digest)
        if future is None or future.status in GONE:
            key = f"cellmesh-blob-{self._session}-{digest}"
            future = self._placed[digest] = self._client.submit(work.keep, data, key=key, pure=False)
        return future


@dataclass(frozen=True, slots=True)
class Most:
    """What one task can have of a Dask worker."""

    gpus: float
    cores: int
    memory: float

    @staticmethod
    def of(worker: dict[str, Any]) -> Most:
        """As the scheduler describes it."""
        gpus = worker["resources"].get("GPU", 0) + worker.get(HELD, 0)  # what actors hold comes free
        return Most(gpus, worker["nthreads"], worker["memory_limit"] or math.inf)


def _why_not(task: TaskWire, workers: Sequence[Most]) -> str:
    """Why none of these could ever run it; "" if one could."""
    gpus, cores = (max(each) for each in zip(*((one.gpus, one.cores) for one in workers), strict=True))
    memory = max(one.memory for one in workers)
    if task.gpus > gpus:
        declares = f"has more than {gpus:g}" if gpus else 'declares any (as by --resources "GPU=1")'
        return f"needs {task.gpus:g} GPU{'s' * (task.gpus != 1)}; no Dask worker {declares}"
    if task.cpus > cores:
        return f"needs {task.cpus:g} cores; no Dask worker has more than {cores} threads"
    if task.memory > memory:
        return (
            f"needs {task.memory / 1e9:.1f} GB of memory; no Dask worker has more than {memory / 1e9:.1f} GB"
        )
    if not any(
        one.gpus >= task.gpus and one.cores >= task.cpus and one.memory >= task.memory for one in workers
    ):
        return "needs what no Dask worker has all of: cores, GPUs and memory"
    return ""
