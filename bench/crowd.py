"""A Dask cluster of many hosts in one process. Their hubs are stand-ins: they run nothing, and talk.

Owns the stand-ins. Everything between them and the notebook is real: Dask's scheduler and workers, our
plugin in each of them, its tunnels, the hub's end of each link, and all messages. What a cell does there is
told by a comment in it: `# prints 10 5` prints 10 lines a second for 5 seconds from each worker,
`# tracks 10 5` says how far it is, `# restarts` has all actors restart. Each line of the input is answered
by what has been sent so far. Read next: `scale.py`.
"""

import heapq
import json
import os
import re
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import msgspec
import zmq
from distributed import Client, LocalCluster

from cellmesh.scheduler.engines.dask.worker import plugin
from cellmesh.scheduler.hub.peers import Peers
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire import folders, messages as msg
from cellmesh.scheduler.wire.records import Interpreter

EPOCH = 1

_SAID = re.compile(r"# (prints|tracks|restarts) ?(\d*) ?(\d*)")
_TICK = 2  # milliseconds: what comes within one of them from a host's workers travels as one frame
_NONE = codec.dumps(None)

_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "60 s",
    "distributed.admin.tick.interval": "10 s",
}
"""What each Dask worker does for itself, which is much where 125 share a process."""


class Crowd:
    """All hubs, and the thread that they speak in."""

    def __init__(self, workers: int) -> None:
        self.workers = workers  # of each host
        self.hubs: dict[int, Hub] = {}
        self.counts = {"messages": 0, "frames": 0, "bytes": 0, "actors": 0}
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._poller = zmq.Poller()
        self._made = threading.Lock()

    def hub(self) -> "Hub":
        """One more; Dask's thread makes them, before any of them is spoken to."""
        with self._made:
            number = len(self.hubs)
            hub = self.hubs[number] = Hub(self, number)
            self._poller.register(hub.socket, zmq.POLLIN)
        return hub

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have this done then."""
        self._order += 1
        heapq.heappush(self.due, (when, self._order, what))

    def run(self) -> None:
        """Serve until the process ends."""
        by_socket = {hub.socket: hub for hub in self.hubs.values()}
        while True:
            ready = self._poller.poll(_TICK if self.due else None)
            for socket, _ in ready:
                by_socket[socket].receive()
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                heapq.heappop(self.due)[2]()
            for hub in self.hubs.values():
                if hub.peers.waiting:
                    hub.peers.flush()


class Counting(Peers):
    """The hub's own end of its links, counted."""

    def __init__(self, socket: zmq.Socket[bytes], counts: dict[str, int]) -> None:
        super().__init__(socket, EPOCH)
        self._counts = counts

    def send(self, identity: bytes, message: Any) -> bool:
        self._counts["messages"] += 1
        return super().send(identity, message)

    def _transmit(self, identity: bytes, frame: bytes) -> None:
        self._counts["frames"] += 1
        self._counts["bytes"] += len(frame)
        super()._transmit(identity, frame)


class Hub:
    """Stands for the hub beside one Dask worker, and for its nursery and workers."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self.name = f"c{os.getpid():x}-{number}"
        self.folder, self._data = folders.make_hub_folders(self.name)
        self._lock = folders.take_lock(self.folder / "lock")
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        address = f"ipc://{self.folder / 'hub.sock'}"
        self.socket.bind(address)
        self.peers = Counting(self.socket, crowd.counts)
        self._session = ""
        self._mesh: list[msg.WorkerInfo] = []
        self._actors: dict[int, tuple[bytes, msg.ActorInfo]] = {}  # whose they are, and how
        folders.write_connection(
            self.folder,
            folders.Connection(msg.PROTOCOL, self.name, address, os.getpid(), str(self._data)),
        )

    def receive(self) -> None:
        """What has come."""
        while self.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:  # type: ignore[operator]
            identity, frame = self.socket.recv_multipart()
            for message in self.peers.receive(identity, frame):
                self._take(identity, message)

    def _take(self, identity: bytes, message: Any) -> None:
        def say(word: msg.Wire) -> None:
            self.peers.send(identity, word)

        match message:
            case msg.Hello():
                self.peers.greeted(identity)
                self._session = message.session
                session, cpus = self._about(), self._crowd.workers
                say(msg.Welcome(msg.PROTOCOL, EPOCH, self.name, session, cpus, [], "", ""))
            case msg.AskStatus(request):
                sessions, pid = [self._about()], os.getpid()
                info = msg.HubInfo(self.name, pid, pid, EPOCH, self._crowd.workers, 0.0, [], sessions, 0.0)
                say(msg.Status(request, info))
            case msg.SetMesh(size):
                for count in range(len(self._mesh), size):  # a hub tells each worker that is there
                    pid = self._number << 10 | count
                    self._mesh.append(msg.WorkerInfo(count, pid, pid, "idle", [], []))
                    say(msg.MeshState(list(self._mesh)))
                if size < len(self._mesh):
                    self._mesh = self._mesh[:size]
                    say(msg.MeshState(list(self._mesh)))
            case msg.Submit(job, tasks):
                for task in tasks:
                    self._run(job, task, say)
            case msg.StartActor():
                info = msg.ActorInfo(message.actor, message.name, message.title, "", "starting")
                self._actors[info.id] = identity, info
                self._crowd.counts["actors"] += 1
                say(msg.ActorAnswer(message.request, info, fresh=True))
            case msg.ListActors(request):
                say(msg.Actors(request, self._hosted()))
            case msg.EndActor(actor, why):
                _, info = self._actors.pop(actor)
                say(msg.ActorState(msgspec.structs.replace(info, state="ended", why=why)))
            case msg.AckNow():
                self.peers.hurry(identity)

    def _about(self) -> msg.SessionInfo:
        return msg.SessionInfo(self._session, "a notebook", True, 0, self._mesh, [], [], self._hosted())

    def _hosted(self) -> list[msg.ActorInfo]:
        return [info for _, info in self._actors.values()]

    def _run(self, job: int, task: msg.TaskWire, say: Callable[[msg.Wire], None]) -> None:
        said = _SAID.search(codec.loads(task.payload).source)
        what, rate, seconds = (
            (said[1], *(int(word or 0) for word in said.groups()[1:])) if said else ("", 0, 0)
        )
        if what == "restarts" and not task.worker:  # once for each host
            for whose, info in self._actors.values():
                for state in ("restarting", "starting"):
                    told = msgspec.structs.replace(info, state=state, why="was ended by SIGKILL")
                    self.peers.send(whose, msg.ActorState(told))
        total, begin = int(rate) * int(seconds), time.monotonic()

        def step(done: int) -> None:
            if done == total:
                say(msg.Results(job, task.index, task.worker, [msg.Item(0, True, _NONE)]))
                say(msg.Settled(job, task.index, "done", "", task.worker, float(seconds)))
                return
            if what == "prints":
                text = f"step {done} of {total} on host {self._number}: loss {1 / (done + 1):.6f}\n"
                say(msg.Output(job, task.index, task.worker, "stdout", text))
            else:
                say(msg.Progress(job, task.index, 0, done, total, "steps"))
            offset = (self._number * 8 + task.index) % 97 / 97  # they do not speak in chorus
            self._crowd.at(begin + (done + offset) / int(rate), lambda: step(done + 1))

        step(0)


class Beside:
    """To the plugin, what `dask/beside.py` is."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def living(self) -> Path:
        """It always runs."""
        return self._hub.folder

    started = living

    def end(self) -> None:
        """With the process."""

    def holds(self, path: str) -> bool:
        """Whether this socket is the hub's."""
        return Path(path).parent == self._hub.folder

    def segment(self, _: str) -> bool:
        """There are none."""
        return False

    def translated(self, theirs: Interpreter) -> Interpreter:
        """Nothing runs."""
        return theirs


def main(hosts: int, workers: int) -> None:
    """Print the scheduler's address, then serve."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd(workers)
    plugin.Beside = lambda *_: Beside(crowd.hub())  # type: ignore[assignment,misc]
    with (
        dask.config.set(_QUIET),
        LocalCluster(
            n_workers=hosts,
            threads_per_worker=workers,
            memory_limit=0,
            processes=False,
            protocol="tcp",
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(plugin.Plugin())  # the notebook's own is the same
        print(json.dumps({"address": cluster.scheduler_address}), flush=True)
        threading.Thread(target=crowd.run, daemon=True).start()
        for _ in sys.stdin:
            print(json.dumps(crowd.counts), flush=True)
    for hub in crowd.hubs.values():
        folders.remove_hub(hub.name)
