"""The hosts of a session, and its mesh spread over them.

Owns which hosts there are, and on which of them each mesh worker is. Never runs anything: the hubs beside
the Dask workers do. Read next: `host.py`, `cells.py`, `lives.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from distributed import Client
from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import EngineError, HubGoneError, SessionSpec
from cellmesh.scheduler.engines.dask.between.descriptors import make_room
from cellmesh.scheduler.engines.dask.between.keys import session_of
from cellmesh.scheduler.engines.dask.scheduler.roll import Load, Member, Members, placed
from cellmesh.scheduler.wire.messages import PROTOCOL, JobInfo, Payload, Ref, TaskWire, WorkerInfo

from .cells import Cells
from .freight import Freight
from .host import Host
from .mirror import Mirror, ask, ask_async
from .picture import moved
from .sidecar import Sidecar
from .told import Told

ATTEMPTS = 3  # a hub may end between being found and being attached to

_MOST_AT_ONCE = 16
"""Hosts that are asked, or attached to, side by side."""


class Fleet:
    """Of one session. `blobs` gives what tasks refer to by digest."""

    def __init__(
        self,
        client: Client,
        spec: SessionSpec,
        told: Told,
        blobs: Callable[[str], Payload],
        new_job: Callable[[], int],
    ) -> None:
        self._client = client
        self._members = Members(client)
        self._scheduler: str = client.scheduler.address
        self._spec = spec
        self._told = told
        self._serials = count(1)
        self._opening: dict[str, threading.Lock] = {}  # by address, too
        self.hosts: dict[str, Host] = {}  # by the Dask worker's address
        self._blobs = blobs
        self._new_job = new_job
        self.freight = Freight(client, blobs)
        self.cells = Cells(self.place, self.sizes, self.bring, self._settle)
        self._wanted = (0, 0)  # size of the mesh, GPUs of each
        self._shaping = threading.Lock()
        self.closed = False
        self._leaving: list[threading.Thread] = []  # each closes a host that is lost

    # --- who there is -------------------------------------------------------------------------------

    def members(self) -> list[Member]:
        """The Dask workers that there are now."""
        if self._client.status != "running":
            raise EngineError(f"The Dask cluster at {self._scheduler} cannot be reached.")
        return self._members.now()

    def loads(self) -> dict[str, Load]:
        """What each of them has to do, by address."""
        return self._members.loads()

    def find(self) -> None:
        """Attach to the hubs that this session is known to: a kernel has come back."""
        members = self.members()
        found = self._client.sync(self._ask_all, [member.address for member in members])
        known = {
            address: about for address, about in found.items() if about and self._spec.key in about["notes"]
        }
        for address, about in known.items():
            with suppress(HubGoneError):  # just now
                self._attach(address, about, list(about["notes"][self._spec.key]))

    async def _ask_all(self, addresses: list[str]) -> dict[str, Any]:
        turns = asyncio.Semaphore(_MOST_AT_ONCE)

        async def one(address: str) -> Any:
            async with turns:
                try:
                    return await ask_async(self._client, address, "hub", start=False)
                except EngineError:
                    return None  # it is just leaving

        return dict(zip(addresses, await asyncio.gather(*map(one, addresses)), strict=True))

    # --- hosts --------------------------------------------------------------------------------------

    def host(self, address: str) -> Host:
        """Attached; its hub is started if there is none."""
        with self._opening.setdefault(address, threading.Lock()):  # two at once would refuse each other
            return self.hosts.get(address) or self._started(address)

    def _started(self, address: str) -> Host:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._attach(address, ask(self._client, address, "hub", start=True))
            except HubGoneError:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _attach(self, address: str, about: dict[str, Any], numbers: Sequence[int] = ()) -> Host:
        if about["protocol"] != PROTOCOL:
            raise EngineError(
                f"The Dask worker at {address} has another version of cellmesh "
                f"(protocol {about['protocol']}, here {PROTOCOL}). Install the same one there and here."
            )
        make_room()
        engine = Sidecar(self._client, Mirror(self._client, address, about))
        host = Host(next(self._serials), engine, self._told, self)
        host.numbers = list(numbers)
        try:
            survivors = engine.open(self._spec, host)
        except BaseException:
            engine.mirror.close()
            raise
        host.shares(about["prefix"])
        self.hosts[address] = host
        host.workers(survivors.workers)
        host.jobs = survivors.jobs
        return host

    def bring(self, host: Host, digest: str) -> None:
        """Have the host know what this digest stands for."""
        self.freight.bring([host], digest)

    def load(self, tasks: Sequence[TaskWire]) -> None:
        """Bring what is large in these to where they go, so that they find it there."""
        hosts = (
            {self.place(task.worker) for task in tasks}
            if all(task.worker is not None for task in tasks)
            else set(self.sizes())
        )
        for digest in {digest for task in tasks for digest in task.blobs}:
            if isinstance(self._blobs(digest), Ref):
                with suppress(EngineError):  # its tasks will be told
                    self.freight.bring([host for host in hosts if host is not None], digest)

    def close(self, *, end_session: bool) -> None:
        """Leave all of them."""
        with self._shaping:
            self.closed = True
        hosts = list(self.hosts.values())
        self.hosts.clear()
        for thread in list(self._leaving):
            thread.join()
        if end_session:
            for host in hosts:
                with suppress(EngineError):  # what is gone has forgotten it
                    ask(self._client, host.address, "note", key=self._spec.key, note=None)
        leave = partial(Host.close, end_session=end_session)
        with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
            try:
                closing = pool.map(leave, hosts)
            except RuntimeError:  # Python itself ends, and lets no more threads begin
                closing = map(leave, hosts)
            list(closing)
        self.freight.close()

    # --- the mesh -----------------------------------------------------------------------------------

    def place(self, number: int | None) -> Host | None:
        """Where the mesh worker of this number is."""
        return next((host for host in self.hosts.values() if number in host.numbers), None)

    def sizes(self) -> dict[Host, int]:
        """How many mesh workers each host has."""
        return {host: len(host.numbers) for host in self.hosts.values() if host.numbers}

    def set_mesh(self, size: int, gpus: int) -> None:
        """Have mesh workers 0 to size-1: those that there are stay where they are."""
        with self._shaping:
            self._wanted = size, gpus
            self._shape()

    def _shape(self) -> None:
        size, gpus = self._wanted
        members = {member.address: member for member in self.members()}
        for host in list(self.hosts.values()):
            if host.address not in members:
                self.lost(host)  # it has not been heard of yet
        here = {host: [number for number in host.numbers if number < size] for host in self.hosts.values()}
        missing = sorted(set(range(size)).difference(*here.values()))
        while missing:
            used = {host.address: len(numbers) for host, numbers in here.items()}
            there = placed(missing, list(members.values()), used, gpus)
            with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
                found = dict(zip(there, pool.map(self._tried, there), strict=True))
            for address, one in found.items():
                if isinstance(one, EngineError):
                    del members[address]  # as one that is cut off: its share goes to others
                    if not members:
                        raise one
                else:
                    here[one] = [*here.get(one, []), *there[address]]
                    missing = [number for number in missing if number not in there[address]]
        for host, numbers in here.items():
            if numbers != host.numbers or gpus:
                with suppress(EngineError):  # it is just leaving, which will be told
                    self._resize(host, numbers, gpus)
        held = [host.address for host in self.hosts.values() if host.numbers]
        self._members.hold(session_of(self._spec.key), held)
        self.mesh_changed()

    def _resize(self, host: Host, numbers: list[int], gpus: int) -> None:
        fresh = not host.numbers and bool(numbers)
        host.resize(numbers, gpus)
        if fresh:
            with self._told:
                self.cells.prepare(host, self._new_job)
        ask(self._client, host.address, "note", key=self._spec.key, note=numbers)

    def _tried(self, address: str) -> Host | EngineError:
        try:
            return self.host(address)
        except EngineError as error:
            return error

    def mesh(self) -> list[WorkerInfo]:
        """All mesh workers, in the order of their numbers."""
        return sorted(
            (info for host in self.hosts.values() for info in host.mesh), key=lambda info: info.number
        )

    # --- what hosts say -----------------------------------------------------------------------------

    def mesh_changed(self) -> None:
        """The mesh of some host did."""
        with self._told as sink:
            sink.workers(self.mesh())
            sink.flushed()

    def _settle(self, job: int, task: int, state: str, why: str) -> None:
        """A task that no host has, or has any more, is over."""
        with self._told as sink:
            sink.settled(job, task, state, why, None)
            sink.flushed()

    def settled(self, host: Host, job: int, task: int, state: str) -> None:
        """A task is over there."""
        self.cells.over(host, job, task, state)

    def job_stands(self, host: Host, info: JobInfo, *, missing: bool) -> None:
        """How a job stands there."""
        with self._told as sink:
            whole = self.cells.stands(host, info, missing=missing)
            if whole is not None:
                sink.job(whole, missing and whole is info)

    def lost(self, host: Host) -> None:
        """The Dask worker is gone, and what was beside it. Its mesh workers begin anew elsewhere."""
        if self.hosts.pop(host.address, None) is None:
            return
        why = f"the host {host.name} is gone (the Dask worker at {host.address} has left)"
        with self._told as sink:
            self.cells.lost(host, why)
            for info in host.actors.values():
                if info.state != "ended":
                    sink.actor(replace(info, state="ended", address="", why=f"was lost, as {why}"))
            sink.flushed()
        thread = threading.Thread(target=self._again, args=(host, why), name="cellmesh-replace", daemon=True)
        thread.start()
        self._leaving.append(thread)  # now: who closes would wait for one that has not begun

    def _again(self, host: Host, why: str) -> None:
        others: list[Member] = []
        if host.numbers and not self.closed:
            with suppress(EngineError):  # that the whole cluster is gone is told once, by the desk
                others = [each for each in self.members() if each.address != host.address]
                self._notice(f"{why}; {moved(len(host.numbers), others)}")
        host.close(end_session=False)
        try:
            with self._shaping:
                if others and not self.closed:
                    self._shape()
        except EngineError as error:
            self._notice(str(error))

    def _notice(self, text: str) -> None:
        with self._told as sink:
            sink.notice(text)
            sink.flushed()
