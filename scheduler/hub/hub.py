"""The hub: messages become events, the core decides.

Owns the meaning of messages and who may send them. Never blocks and never places work itself.
Read next: `orders.py` (commands become messages and processes), `../core/core.py`.
"""

import time
from dataclasses import dataclass, field

import msgspec

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId, WorkerId
from cellmesh.scheduler.wire import messages as msg
from cellmesh.scheduler.wire import system

from . import views
from .orders import Orders
from .peers import Peers
from .store import JobRecord, SessionRecord, Store, TaskRecord, release, sweep_prefix


@dataclass(slots=True)
class Client:
    """A kernel's process."""

    id: ClientId
    session: SessionId
    pid: int
    identity: bytes


@dataclass(slots=True)
class Clients:
    """Kernels that are attached now."""

    by_id: dict[ClientId, Client] = field(default_factory=dict)
    by_identity: dict[bytes, Client] = field(default_factory=dict)


class Hub:
    """All state is in `core`, `store`, `clients` and `names`; everything else is how to reach it."""

    def __init__(self, name: str, core: Core, store: Store, peers: Peers, orders: Orders) -> None:
        self.name = name
        self.core = core
        self.store = store
        self.clients = Clients()
        self.peers = peers
        self.orders = orders
        self.started = time.time()
        self.wall = self.started
        self.new_clients: list[Client] = []  # the loop watches their processes
        self.reporter_number: int | None = None  # mesh number of the worker whose report is at hand
        self.ending = False

    # --- what the loop calls ---------------------------------------------------------------------

    def feed(self, event: ev.Event, report: msg.Report | None = None) -> None:
        """Let the core decide, then carry its commands out."""
        self.orders.carry_out(self.core.handle(event), report, self)

    def take(self, at: float, identity: bytes, message: msg.Wire) -> None:
        """One message from a peer."""
        match message:
            case msg.Report():
                self._on_report(at, identity, message)
            case msg.Output():
                self._on_output(message)
            case msg.Submit():
                self._on_submit(at, identity, message)
            case msg.Ready():
                self._on_ready(at, identity, message)
            case msg.Hello():
                self._on_hello(at, identity, message)
            case msg.AskStatus(request):
                self.peers.send(identity, msg.Status(request, self.status()))
            case msg.EndHubNow():
                self.ending = True
            case _:
                client = self.clients.by_identity.get(identity)
                if client is not None:  # else: it said goodbye, or is gone
                    self._on_client(at, client, message)

    def client_gone(self, at: float, client_id: ClientId) -> None:
        """A kernel's process has ended or said goodbye."""
        client = self.clients.by_id.pop(client_id, None)
        if client is None:
            return
        self.clients.by_identity.pop(client.identity, None)
        if self.core.state.sessions.get(client.session) is None:
            return
        self.feed(ev.ClientLost(at, client_id))

    def worker_gone(self, at: float, worker: WorkerId, why: str) -> None:
        """A worker's process has ended."""
        self.orders.pool.pids.pop(worker, None)
        self.orders.names.pop(worker, None)
        self.orders.leases.free(worker)
        self.peers.drop(worker_identity(worker))
        sweep_prefix(self.orders.worker_prefix(worker), self._kept_segments())
        self.feed(ev.WorkerLost(at, worker, why))

    def status(self) -> msg.HubInfo:
        """Everything, for people."""
        state = self.core.state
        sessions = [
            info
            for session in state.sessions
            if (info := views.session(state, self.store, session, self.orders.pool.pids, self.orders.names))
        ]
        return msg.HubInfo(
            name=self.name,
            pid=self.orders.pid,
            nursery=self.orders.nursery,
            epoch=state.epoch,
            cpus=state.cpus,
            slots_used=state.slots_used,
            gpus=list(state.gpus),
            sessions=sessions,
            started=self.started,
        )

    def _kept_segments(self) -> set[str]:
        kept: set[str] = set()
        for session in self.store.sessions.values():
            kept |= session.objects
            kept |= {blob.name for blob in session.blobs.values() if isinstance(blob, msg.Ref)}
        for job in self.store.jobs.values():
            kept |= {output.data.name for output in job.outputs if isinstance(output.data, msg.Ref)}
            for task in job.tasks.values():
                for results in task.results:
                    kept |= {i.payload.name for i in results.items if isinstance(i.payload, msg.Ref)}
        return kept

    # --- kernels ---------------------------------------------------------------------------------

    def _on_hello(self, at: float, identity: bytes, hello: msg.Hello) -> None:
        self.peers.renew(identity)
        if hello.protocol != msg.PROTOCOL:
            why = f"protocol: this hub speaks {msg.PROTOCOL}, the kernel {hello.protocol}"
            self.peers.send(identity, msg.Refuse(why))
            return
        if hello.role == "observer":
            self.peers.send(identity, self._welcome(None))
            return
        session, client_id = SessionId(hello.session), ClientId(hello.client)
        known = self.core.state.sessions.get(session)
        if known is not None and known.client is not None and known.client != client_id:
            holder = self.clients.by_id.get(known.client)
            if holder is not None and system.is_alive(holder.pid):
                why = f"busy: another kernel (process {holder.pid}) holds the session of {hello.name}"
                self.peers.send(identity, msg.Refuse(why))
                return
            self.client_gone(at, known.client)
        again = client_id in self.clients.by_id
        client = Client(client_id, session, hello.pid, identity)
        self.clients.by_id[client_id] = self.clients.by_identity[identity] = client
        if not again:
            self.new_clients.append(client)
        assert hello.interpreter is not None
        record = self.store.sessions.get(session)
        if record is None:
            record = self.store.sessions[session] = SessionRecord(
                self.orders.client_prefix(client_id), self.orders.logs(session)
            )
        record.template = self.orders.pool.ensure(hello.interpreter)
        self.feed(ev.SessionAttached(at, session, client_id, hello.name, hello.grace))
        self.peers.send(identity, self._welcome(client))
        if again or hello.returning:
            for job_id, job in self.store.jobs.items():
                if job.client == client_id:
                    self._send_kept(identity, job_id, job, output=False)

    def _welcome(self, client: Client | None) -> msg.Welcome:
        state = self.core.state
        pids, names = self.orders.pool.pids, self.orders.names
        info = views.session(state, self.store, client.session, pids, names) if client else None
        return msg.Welcome(
            protocol=msg.PROTOCOL,
            epoch=state.epoch,
            hub=self.name,
            session=info,
            cpus=state.cpus,
            gpus=list(state.gpus),
            logs=self.store.sessions[client.session].logs if client else "",
            objects=self.orders.client_prefix(client.id) if client else "",
        )

    def _on_client(self, at: float, client: Client, message: msg.Wire) -> None:
        session = client.session
        record = self.store.sessions.get(session)
        if record is None:
            return  # the session has ended; the client is on its way out
        match message:
            case msg.PutBlob(digest, data):
                if digest not in record.blobs:
                    record.blobs[digest] = data
                elif record.blobs[digest] != data:
                    release(data)  # same content in another segment
            case msg.DropBlob(digest):
                if self.store.drop_blob(session, digest):
                    self.orders.forget_blob(self.core.state, session, digest)
            case msg.OpenJob():
                job = JobId(message.job)
                if job not in self.store.jobs:
                    self.store.jobs[job] = JobRecord(
                        session, client.id, self.wall, message.cell, message.setup
                    )
                self.feed(
                    ev.JobOpened(
                        at, job, session, message.kind, message.title,
                        message.background, message.stop_on_error, message.setup,
                    )
                )  # fmt: skip
            case msg.Cancel(job_id, tasks, force):
                self.feed(
                    ev.CancelRequested(at, JobId(job_id), None if tasks is None else tuple(tasks), force)
                )
            case msg.Claim(job_id, tasks):
                self.feed(ev.ResultsClaimed(at, JobId(job_id), None if tasks is None else tuple(tasks)))
            case msg.AttachJob(job_id):
                self._on_attach(client, JobId(job_id))
            case msg.SetMesh(size, gpus):
                self.feed(ev.MeshRequested(at, session, size, gpus))
            case msg.SetContext(digest, data):
                record.blobs.setdefault(digest, data)
                record.context = digest
                record.template = self.orders.pool.ensure(
                    msgspec.msgpack.decode(data, type=msg.Interpreter)
                )
            case msg.KeepObject(ref):
                record.objects.add(ref.name)
            case msg.DropObject(name):
                record.objects.discard(name)
                release(msg.Ref(name, 0))
            case msg.ResetSession(end):
                event = ev.SessionEnded(at, session) if end else ev.SessionReset(at, session)
                self.feed(event)
            case msg.Goodbye():
                self.client_gone(at, client.id)
            case msg.Ack():
                pass

    def _on_submit(self, at: float, identity: bytes, submit: msg.Submit) -> None:
        client = self.clients.by_identity.get(identity)
        job = JobId(submit.job)
        record = self.store.jobs.get(job)
        if client is None or record is None:
            return  # refused before, or cleared since
        context = self.store.sessions[client.session].context
        specs = []
        for task in submit.tasks:
            if task.index not in record.tasks:
                record.tasks[task.index] = TaskRecord(task, context)
            specs.append(
                ev.TaskSpec(
                    task.index, task.size, ev.Pool(task.pool), task.worker, task.gpus, task.retries
                )
            )
        self.feed(ev.TasksSubmitted(at, job, tuple(specs), submit.last))

    def _on_attach(self, client: Client, job_id: JobId) -> None:
        record = self.store.jobs.get(job_id)
        info = views.job(self.core.state, self.store, job_id)
        if record is None or info is None or record.session != client.session:
            nothing = msg.JobInfo(job_id, 0, "", "", False, True, False, 0, 0, 0, 0, 0.0)
            self.peers.send(client.identity, msg.JobState(nothing, missing=True))
            return
        record.client = client.id
        self._send_kept(client.identity, job_id, record, output=True)
        self.peers.send(client.identity, msg.JobState(info))

    def _send_kept(self, identity: bytes, job_id: JobId, job: JobRecord, *, output: bool) -> None:
        if output:
            if job.output_lost:
                text = f"… {job.output_lost} earlier outputs are only in %mesh logs …"
                self.peers.send(identity, msg.Output(job_id, 0, None, "note", text))
            for kept in job.outputs:
                self.peers.send(identity, kept)
        for task in job.tasks.values():
            for results in task.results:
                self.peers.send(identity, results)
            if task.settled is not None:
                self.peers.send(identity, task.settled)

    # --- workers ---------------------------------------------------------------------------------

    def _on_ready(self, at: float, identity: bytes, ready: msg.Ready) -> None:
        worker = WorkerId(ready.worker)
        self.peers.renew(identity)
        self.orders.pool.pids[worker] = ready.pid
        self.orders.names[worker] = ready.names
        holding = tuple((JobId(job), task, attempt) for job, task, attempt in ready.holding)
        self.feed(ev.WorkerReady(at, worker, holding))

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
                tuple((item.index, item.ok) for item in report.items),
                None if report.outcome is None else ev.Outcome(report.outcome),
            ),
            report,
        )
        if stopping and report.outcome is not None and record is not None and record.number is not None:
            self.orders.tell_mesh(record.session, self)  # else its kernel would wait for it to yield

    def _on_output(self, output: msg.Output) -> None:
        self.store.add_output(output)
        record = self.store.jobs.get(JobId(output.job))
        client = self.clients.by_id.get(ClientId(record.client)) if record else None
        if client is not None:
            self.peers.send(client.identity, output)


def worker_identity(worker: WorkerId) -> bytes:
    """The ROUTER identity of a worker."""
    return b"w%d" % worker
