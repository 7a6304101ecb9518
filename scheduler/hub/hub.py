"""The hub: messages become events, the core decides.

Owns the meaning of messages and who may send them. Never blocks and never places work itself.
Read next: `orders.py` (commands become messages and processes), `../core/core.py`.
"""

import sys
import time

import msgspec

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.ids import ActorId, Attempt, ClientId, JobId, SessionId, WorkerId
from cellmesh.scheduler.objects import room
from cellmesh.scheduler.wire import folders, messages as msg

from . import actors, insiders, kernels, views
from .freeing import Freeing
from .kernels import Client, Clients
from .lives import Lives
from .orders import Orders
from .peers import Peers
from .store import Store, sweep_prefix

_OF_WORKERS = (
    msg.Report, msg.Output, msg.Progress, msg.Ready, msg.Waiting, msg.Draining, msg.ActorUp, msg.ActorSaved
)  # fmt: skip


class Hub:
    """All state is in `core`, `store`, `clients` and `names`; everything else is how to reach it."""

    def __init__(self, name: str, core: Core, store: Store, peers: Peers, orders: Orders) -> None:
        self.name = name
        self.core = core
        self.store = store
        self.lives = Lives(store)
        self.clients = Clients()
        self.peers = peers
        self.orders = orders
        self.freeing = Freeing(self)
        store.free = self.freeing.free
        self.started = time.time()
        self.wall = self.started
        self.new_clients: list[Client] = []  # the loop watches their processes
        self.reporter_number: int | None = None  # mesh number of the worker whose report is at hand
        self.left_clients: list[ClientId] = []  # and watches these no more
        self.ending = False

    # --- what the loop calls ---------------------------------------------------------------------

    def feed(self, event: ev.Event, report: msg.Report | None = None) -> None:
        """Let the core decide, then carry its commands out."""
        self.orders.carry_out(self.core.handle(event), report, self)

    def take(self, at: float, identity: bytes, message: msg.Wire) -> None:
        """One message from a peer."""
        if isinstance(message, _OF_WORKERS) and not is_worker(identity):
            raise ValueError(f"{identity!r} is no worker")
        match message:
            case msg.Report():
                self._on_report(at, identity, message)
            case msg.Output():
                self._on_output(message)
            case msg.Progress():
                self._on_progress(message)
            case msg.Submit():
                kernels.submit(self, at, identity, message)
            case msg.Ready():
                self._on_ready(at, identity, message)
            case msg.Waiting():
                self._on_waiting(at, identity, message)
            case msg.Draining():
                self.feed(ev.WorkerDraining(at, WorkerId(int(identity[1:]))))
            case msg.ActorUp():
                actors.came_up(self, at, WorkerId(int(identity[1:])), message)
            case msg.ActorSaved():
                actors.saved(self, message)
            case msg.Hello(role="task"):
                insiders.hello(self, identity, message)
            case msg.Hello():
                kernels.hello(self, at, identity, message)
            case msg.AskStatus(request):
                self.peers.send(identity, msg.Status(request, self.status()))
            case msg.AckNow():
                self.peers.hurry(identity)
            case msg.EndHubNow():
                self.ending = True
            case _:
                client = self.clients.by_identity.get(identity)
                if client is not None and insiders.may(self, client, message):  # None: it is gone
                    kernels.take(self, at, client, message)

    def knows(self, identity: bytes) -> bool:
        """Whether more is to be expected from there."""
        if is_worker(identity):
            return WorkerId(int(identity[1:])) in self.core.state.workers
        return identity in self.clients.by_identity

    def client_gone(self, at: float, client_id: ClientId) -> None:
        """A kernel's process has ended or said goodbye, or a task's."""
        client = self.clients.by_id.pop(client_id, None)
        if client is None:
            return
        self.clients.by_identity.pop(client.identity, None)
        self.peers.leave(client.identity)
        self.left_clients.append(client_id)
        self.lives.unfollow(client_id)
        prefix = self.orders.client_prefix(client_id)
        sweep_prefix(prefix, self._kept_segments)
        record = self.store.sessions.get(client.session)
        if record is not None:
            record.prefixes.discard(prefix)
        if self.core.state.sessions.get(client.session) is None:
            return
        if client.worker:
            insiders.gone(self, at, client)
        else:
            self.feed(ev.ClientLost(at, client_id))
        kernels.drop_all_blobs(self, client)
        self.freeing.bequeath(client)

    def worker_gone(
        self,
        at: float,
        worker: WorkerId,
        why: str,
        mark: tuple[Attempt, int] | None = None,
        peak: int = 0,
        elsewhere: str = "",
    ) -> None:
        """A worker's process has ended; `peak`: the most bytes that it had in memory.

        `elsewhere`: it never was, as another hub holds this GPU.
        """
        self._clear_away(worker, peak)
        self.feed(ev.WorkerLost(at, worker, why, mark, elsewhere))

    def recovered(self, at: float, epoch: int, living: tuple[WorkerId, ...]) -> None:
        """The journal has been replayed, and of the workers these live."""
        for worker in self.core.state.workers.keys() - set(living):
            self._clear_away(worker)
        self.feed(ev.HubRecovered(at, epoch, living))

    def _clear_away(self, worker: WorkerId, peak: int = 0) -> None:
        """What a process that is gone has left."""
        known = self.core.state.workers.get(worker)
        if known is not None and known.actor is not None:
            actors.process_gone(self, known.actor, peak)
        self.orders.pool.pids.pop(worker, None)
        self.orders.names.pop(worker, None)
        self.orders.leases.free(worker)
        self.peers.drop(worker_identity(worker))
        sweep_prefix(self.orders.worker_prefix(worker), self._kept_segments)

    def announce(self, text: str) -> None:
        """Say this to everyone, and to the log."""
        print(f"cellmesh hub: {text}", file=sys.stderr, flush=True)
        for client in self.clients.by_id.values():
            self.peers.send(client.identity, msg.Notice(text))

    def status(self) -> msg.HubInfo:
        """Everything, for people."""
        state = self.core.state
        objects = room.usage(folders.segment_prefix(self.name))
        sessions = [info for session in state.sessions if (info := self.session_info(session))]
        return msg.HubInfo(
            name=self.name,
            pid=self.orders.pid,
            nursery=self.orders.nursery,
            epoch=state.epoch,
            cpus=state.cpus // ev.ONE,
            slots_used=state.slots_used / ev.ONE,
            gpus=list(state.gpus),
            sessions=sessions,
            started=self.started,
            objects=objects.bytes,
            objects_free=objects.free,
        )

    def session_info(self, session: SessionId) -> msg.SessionInfo | None:
        """One session, for people."""
        pids, names = self.orders.pool.pids, self.orders.names
        found = views.session(self.core.state, self.store, session, pids, names)
        if found is None:
            return None
        living = [actors.info(self, actor) for actor in actors.of_sessions(self, session)]
        return msgspec.structs.replace(found, actors=living)

    def _kept_segments(self) -> set[str]:
        kept = set(self.store.pinned)
        for session in self.store.sessions.values():
            kept |= session.objects.union(*(bequest.names for bequest in session.bequests))
            kept |= {blob.name for blob in session.blobs.kept.values() if isinstance(blob, msg.Ref)}
        for job in self.store.jobs.values():
            kept |= {output.data.name for output in job.outputs.kept if isinstance(output.data, msg.Ref)}
            for task in job.tasks.values():
                if isinstance(task.wire.payload, msg.Ref):
                    kept.add(task.wire.payload.name)
                for results in task.results or ():
                    kept |= {i.payload.name for i in results.items if isinstance(i.payload, msg.Ref)}
        return kept

    # --- workers ---------------------------------------------------------------------------------

    def _on_ready(self, at: float, identity: bytes, ready: msg.Ready) -> None:
        worker = WorkerId(ready.worker)
        self.peers.greeted(identity)
        if self.knows(identity):  # else its end has been seen before its first word
            self.orders.pool.pids[worker] = ready.pid
            self.orders.names[worker] = ready.names
        holding = tuple((JobId(job), task, attempt) for job, task, attempt in ready.holding)
        hosting = None if ready.hosting is None else (ActorId(ready.hosting[0]), ready.hosting[1])
        self.feed(ev.WorkerReady(at, worker, holding, hosting))

    def _on_report(self, at: float, identity: bytes, report: msg.Report) -> None:
        worker = WorkerId(int(identity[1:]))
        record = self.core.state.workers.get(worker)
        self.reporter_number = record.number if record else None
        stopping = record is not None and record.task and views.is_stopping(self.core.state, record.task)
        if report.names is not None and self.orders.names.get(worker) != report.names:
            self.orders.names[worker] = report.names
            if record is not None and record.number is not None:
                self.orders.tell_mesh(record.session, self)
        self.feed(
            ev.ItemsReported(
                at,
                worker,
                JobId(report.job),
                report.task,
                report.attempt,
                tuple((item.index, item.ok, item.count) for item in report.items),
                None if report.outcome is None else ev.Outcome(report.outcome),
                # A report that brings nothing else answers `Shed`, also with nothing.
                None if report.items or report.outcome else tuple(report.returned),
            ),
            report,
        )
        if stopping and report.outcome is not None and record is not None and record.number is not None:
            self.orders.tell_mesh(record.session, self)  # else its kernel would wait for it to yield

    def _on_waiting(self, at: float, identity: bytes, word: msg.Waiting) -> None:
        worker = WorkerId(int(identity[1:]))
        record = self.core.state.workers.get(worker)
        run = None if record is None else record.task or record.setup_run
        if run is not None:
            self.feed(ev.TaskWaiting(at, worker, *run, word.attempt, word.waits))

    def _on_output(self, output: msg.Output) -> None:
        output = self.store.as_of_launch(output)
        self.store.add_output(output)
        record = self.store.jobs.get(JobId(output.job))
        client = self.clients.by_id.get(ClientId(record.client)) if record else None
        if client is not None:
            self.peers.send(client.identity, output)

    def _on_progress(self, progress: msg.Progress) -> None:
        progress = self.store.as_of_launch(progress)
        record = self.store.jobs.get(JobId(progress.job))
        task = record.tasks.get(progress.task) if record else None
        if record is None or task is None or task.settled is not None:
            return  # late
        task.progress = progress
        client = self.clients.by_id.get(ClientId(record.client))
        if client is not None:
            self.peers.send(client.identity, progress)


def is_worker(identity: bytes) -> bool:
    """Whether this is how workers call themselves."""
    return identity[:1] == b"w" and identity[1:].isdigit()


def worker_identity(worker: WorkerId) -> bytes:
    """The ROUTER identity of a worker."""
    return b"w%d" % worker
