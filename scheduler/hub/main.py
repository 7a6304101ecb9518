"""The hub's process: one thread, one loop, one socket.

Owns the ROUTER, the loop and its order: read what has come, journal it, let the core decide, send what
that made. A burst is read whole before anything is sent, so load makes batches and idleness makes none.
Never runs user code, never unpickles what users send. Read next: `hub.py`, `recovery.py`.
"""

import math
import os
import pickle
import select
import signal
import socket
import sys
import time
from typing import cast

import msgspec
import zmq

from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.events import HubStarted
from cellmesh.scheduler.core.ids import ClientId, WorkerId
from cellmesh.scheduler.objects import marks
from cellmesh.scheduler.wire import folders, system
from cellmesh.scheduler.wire.control import Children, ProcessEnded, ProcessPaused, ProcessStarted
from cellmesh.scheduler.wire.link import PATIENCE
from cellmesh.scheduler.wire.messages import PROTOCOL

from . import probe, recovery
from .hub import Hub
from .journal import COMPACT_AT, Entry, Journal
from .orders import Orders
from .peers import Peers
from .pool import Fact, Pool
from .store import Store
from .timers import Timers

BURST = 256
"""Frames read before the answers to them leave, at most."""

GOODBYE_SECONDS = 0.2
LATER = math.ceil(PATIENCE * 1000)

MEND_SECONDS = 2.0
"""A journal that could not be written is tried again after so long."""


def main(name: str, epoch: int, control: socket.socket, ready: int) -> int:
    """Run the hub until it is done; returns its exit code (0: it is done, anything else: it failed)."""
    shell = Shell(name, epoch, control)
    shell.begin()
    if ready >= 0:
        os.write(ready, b"1")
        os.close(ready)
    return shell.run()


class Shell:
    def __init__(self, name: str, epoch: int, control: socket.socket) -> None:
        self._name = name
        self._epoch = epoch
        self._folder, self._data = folders.make_hub_folders(name)
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router_fd = cast(int, self._router.getsockopt(zmq.FD))
        self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._router.setsockopt(zmq.SNDHWM, 0)  # the links' credit bounds what is under way
        self._router.setsockopt(zmq.RCVHWM, 0)
        self._router.setsockopt(zmq.LINGER, int(GOODBYE_SECONDS * 1000))
        self._timers = Timers()
        self._peers = Peers(self._router, epoch)
        self._pool = Pool(control)
        self._journal = Journal(self._data / "journal")
        self._mend_at = 0.0  # while the journal cannot be written: when to try again
        self._watched: dict[int, ClientId] = {}
        self._unwatched: dict[ClientId, int] = {}  # where processes cannot be watched
        self._wake_read, self._wake_write = socket.socketpair()
        self._poller = select.poll()  # on descriptors: zmq's own poller costs more than what it waits for
        self._more = False  # the router has something to read, and its descriptor has told so already
        path = self._folder / "hub.sock"
        path.unlink(missing_ok=True)  # a killed hub leaves its socket
        self._address = f"ipc://{path}"
        store = Store()
        orders = Orders(name, self._address, self._data, store, self._peers, self._pool, self._timers)
        self._hub = Hub(name, Core(), store, self._peers, orders)

    def begin(self) -> None:
        """Start fresh, or from the journal of a hub that died; then be reachable."""
        # Without a descriptor to wake it the poll below would go on sleeping after a signal.
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_term)
        if self._epoch == 1:
            cpus = int(os.environ.get("CELLMESH_CPUS", 0)) or system.usable_cpus()
            memory = system.usable_memory()
            least, most = (int(os.environ.get(f"CELLMESH_{name}_WORKERS", 0)) for name in ("MIN", "MAX"))
            started = HubStarted(system.monotonic(), self._epoch, cpus, probe.devices(), memory, least, most)
            self._record(recovery.started(time.time(), started))
        else:
            self._recover()
        self._journal.flush()
        self._router.bind(self._address)
        folders.write_connection(
            self._folder,
            folders.Connection(PROTOCOL, self._name, self._address, os.getpid(), str(self._data)),
        )
        for fd in (self._router_fd, self._pool.fileno(), self._wake_read.fileno()):
            self._poller.register(fd, select.POLLIN)
        self._more = True

    def _recover(self) -> None:
        recovery.replay(self._hub, self._journal)
        self._timers.clear()
        told: list[Fact] = []
        while not told:
            told = self._pool.facts(wait=True)
        first, *since = told
        assert isinstance(first, Children)
        living = dict(first.living)
        self._pool.pids.update({WorkerId(worker): pid for worker, pid in living.items()})
        self._peers.restart()
        workers = tuple(WorkerId(worker) for worker in living)
        now = system.monotonic()
        self._record(
            Entry("recovered", now, time.time(), str(self._epoch), pickle.dumps((self._epoch, workers)))
        )
        for worker in self._hub.core.state.workers.values():
            self._hub.orders.leases.take(worker.id, worker.gpus)  # the locks went with the dead hub
        self._hub.freeing.recovered(now)
        self._hub.orders.keep_templates(self._hub)
        self._hub.new_clients.clear()
        for client in list(self._hub.clients.by_id.values()):
            self._watch(client.id, client.pid)
        self._take_facts(since)

    def run(self) -> int:
        try:
            while not self._hub.ending:
                self._once()
        except EOFError:
            # The nursery is gone, and with it all workers: sweep up as it would have done.
            self._sweep_up()
            return 1
        self._farewell()
        return 0

    def _once(self) -> None:
        wake = min(filter(None, (self._timers.next(), self._hub.freeing.next())), default=None)
        timeout = None if wake is None else max(0, math.ceil((wake - system.monotonic()) * 1000))
        if self._unwatched or self._journal.failure:
            timeout = min(1000, 1000 if timeout is None else timeout)
        if self._peers.waiting:
            timeout = min(LATER, LATER if timeout is None else timeout)
        ready = self._poller.poll(0 if self._more else timeout)
        busy = self._read_router() or bool(ready)
        for source, _ in ready:
            if source == self._pool.fileno():
                self._take_facts(self._pool.facts())
            elif source == self._wake_read.fileno():
                self._wake_read.recv(64)
            elif source in self._watched:
                self._client_ended(source)
        for timer in self._timers.due(system.monotonic()):
            self._record(self._entry("timer", timer))
        refused, self._hub.orders.refused_workers = self._hub.orders.refused_workers, []
        for worker, gpu in refused:
            why = f"could not be started: GPU {gpu} is held by another hub of yours"
            self._worker_lost(worker, why, elsewhere=gpu)
        for client in self._hub.new_clients:
            self._watch(client.id, client.pid)
        self._hub.new_clients.clear()
        for client_id in self._hub.left_clients:
            self._unwatch(client_id)
        self._hub.left_clients.clear()
        self._look_at_unwatched()
        if self._hub.ending:
            (self._folder / "connection.json").unlink(missing_ok=True)  # nobody attaches from here on
        self._journal.flush()  # before anything that follows from it leaves
        if self._journal.failure:
            self._mend_journal()
        self._hub.freeing.flush(system.monotonic())
        self._peers.flush(acknowledge=not busy)
        self._more = self._readable()  # sending may have taken the news off the descriptor
        if self._journal.size > max(COMPACT_AT, 2 * self._journal.compacted):
            recovery.compact(self._hub, self._journal, system.monotonic())

    def _mend_journal(self) -> None:
        """Go on without, and say so; a new journal is begun as soon as the disk takes it."""
        now, why = system.monotonic(), self._journal.failure
        if not self._mend_at:
            self._hub.announce(
                f"the hub cannot write its journal in {self._data} ({why}). Work goes on, but what runs "
                "and what comes from now on would be lost if the hub were killed. Free some space there."
            )
        elif now < self._mend_at:
            return
        elif recovery.compact(self._hub, self._journal, now):
            self._mend_at = 0.0
            self._hub.announce("the hub can write its journal again.")
            return
        self._mend_at = now + MEND_SECONDS

    def _readable(self) -> bool:
        return bool(cast(int, self._router.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def _read_router(self) -> bool:
        """Take a burst; whether there was any."""
        at, wall = system.monotonic(), time.time()
        for taken in range(BURST):
            if not self._readable():
                return taken > 0
            identity, frame = self._router.recv_multipart()
            name = identity.decode("latin-1")  # any bytes, and back
            entry = Entry("frame", at, wall, name, frame)
            if name.startswith("o"):
                recovery.apply(self._hub, entry)  # onlookers change nothing
            else:
                self._record(entry)
        return True

    def _take_facts(self, facts: list[Fact]) -> None:
        """What the nursery has told."""
        for fact in facts:
            match fact:
                case ProcessStarted(worker, pid):
                    self._pool.pids[WorkerId(worker)] = pid
                case ProcessEnded(worker, why, peak):
                    self._worker_lost(WorkerId(worker), why, peak)
                case ProcessPaused(worker, paused):
                    self._record(self._entry("worker-paused", str(worker), b"1" if paused else b""))
                case Children():
                    pass  # only meant for a hub that recovers

    def _worker_lost(self, worker: WorkerId, why: str, peak: int = 0, elsewhere: str = "") -> None:
        mark = marks.read(self._hub.orders.worker_prefix(worker))
        self._record(
            self._entry("worker-lost", str(worker), msgspec.msgpack.encode((why, mark, peak, elsewhere)))
        )

    def _watch(self, client: ClientId, pid: int) -> None:
        fd = system.watch_process(pid)
        if fd is not None:
            self._watched[fd] = client
            self._poller.register(fd, select.POLLIN)
        elif system.can_watch():
            self._record(self._entry("client-lost", client))
        else:
            self._unwatched[client] = pid

    def _unwatch(self, client: ClientId) -> None:
        self._unwatched.pop(client, None)
        for fd in [fd for fd, watched in self._watched.items() if watched == client]:
            del self._watched[fd]
            self._poller.unregister(fd)
            os.close(fd)

    def _look_at_unwatched(self) -> None:
        for client, pid in list(self._unwatched.items()):
            if not system.is_alive(pid):
                del self._unwatched[client]
                self._record(self._entry("client-lost", client))

    def _client_ended(self, fd: int) -> None:
        self._poller.unregister(fd)
        os.close(fd)
        self._record(self._entry("client-lost", self._watched.pop(fd)))

    def _entry(self, kind: str, name: str, data: bytes = b"") -> Entry:
        return Entry(kind, system.monotonic(), time.time(), name, data)  # type: ignore[arg-type]

    def _record(self, entry: Entry) -> None:
        """Journal what happened, then let it have its effect."""
        self._journal.add(entry)
        recovery.apply(self._hub, entry)

    def _farewell(self) -> None:
        self._peers.flush()
        self._journal.close()
        self._router.close()
        self._context.term()

    def _sweep_up(self) -> None:
        for pid in self._pool.pids.values():
            try:
                os.killpg(pid, signal.SIGKILL)  # what users' code started there
            except (ProcessLookupError, PermissionError):
                pass
        self._farewell()
        folders.remove_hub(self._name)

    def _on_term(self, *_: object) -> None:
        self._hub.ending = True
        print("cellmesh hub: ended by SIGTERM", file=sys.stderr, flush=True)
