"""The core's commands, carried out: messages to peers, orders to the nursery, changes to the store.

Owns how each command is done. Never decides whether. While the journal is replayed nothing leaves the
process: only the store changes. Read next: `hub.py`, `../core/commands.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from cellmesh.scheduler.core import commands as cmd
from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId, WorkerId
from cellmesh.scheduler.objects import codec, failures
from cellmesh.scheduler.wire import folders, messages as msg, system
from cellmesh.scheduler.wire.control import WorkerSpec

from . import actors, views
from .leases import Leases
from .peers import Peers
from .pool import Pool
from .store import SessionRecord, Store
from .timers import Timers

if TYPE_CHECKING:
    from .hub import Hub


class Orders:
    def __init__(
        self, hub: str, address: str, data: Path, store: Store, peers: Peers, pool: Pool, timers: Timers
    ) -> None:
        self._hub = hub
        self._address = address
        self.data = data
        self.spill = folders.spill_folder(data)
        self._store = store
        self._peers = peers
        self.pool = pool
        self._timers = timers
        self.leases = Leases()
        self.refused_workers: list[tuple[WorkerId, str]] = []  # and the GPU that was not free; the loop tells
        self.names: dict[WorkerId, list[str]] = {}
        self.pid = os.getpid()
        self.nursery = os.getppid()
        self.replaying = False

    def worker_prefix(self, worker: WorkerId) -> str:
        """How names of segments begin that this worker makes."""
        return f"{folders.segment_prefix(self._hub)}w{worker}-"

    def client_prefix(self, client: ClientId) -> str:
        """How names of segments begin that this kernel makes."""
        return f"{folders.segment_prefix(self._hub)}c{client}-"

    def logs(self, session: SessionId) -> str:
        """The folder of a session's logs."""
        return str(self.data / "logs" / "".join(c if c.isalnum() else "_" for c in session)[:80])

    def carry_out(self, commands: list[cmd.Command], report: msg.Report | None, hub: Hub) -> None:
        """Do what the core said; `report` is the message at hand, whose items may be delivered."""
        over: dict[SessionId, set[JobId]] = {}  # ended: looked at once, however many tasks they had
        for command in commands:
            match command:
                case cmd.DeliverItems(job, task, worker, accepted):
                    assert report is not None
                    self._deliver(job, task, worker, accepted, report, hub)
                case cmd.SettleTask(job, task, state, why):
                    number = self._number(hub, report)
                    seconds = 0.0 if report is None else report.seconds
                    settled = msg.Settled(job, task, state.value, why, number, seconds)
                    self._store.settle(job, settled)
                    self._to_job(job, settled, hub)
                    self._tell_end(job, hub, over)
                case cmd.LoseItem(job, task, index, why):
                    lost = msg.Item(index, False, codec.dumps(failures.lost(why, index)))
                    results = msg.Results(job, task, None, [lost])
                    self._store.add_result(job, results)
                    self._to_job(job, results, hub)
                case cmd.StartTask():
                    self._start_task(command)
                case cmd.InterruptTask(worker, _, _, attempt):
                    self._to_worker(worker, msg.Interrupt(attempt))
                case cmd.ShedItems(worker, _, _, attempt):
                    self._to_worker(worker, msg.Shed(attempt))
                case cmd.StartWorker():
                    self._start_worker(command, hub)
                case cmd.StopWorker(worker):
                    self._to_worker(worker, msg.Stop())
                case cmd.KillWorker(worker):
                    if not self.replaying:
                        self.pool.kill(worker)
                case cmd.TellMesh(session):
                    self.tell_mesh(session, hub)
                case cmd.Notify(session, text):
                    self.to_session(session, msg.Notice(text), hub)
                case cmd.RefuseJob(job, why, taken):
                    if taken is not None:
                        self._to_client(taken, msg.Refuse(why, job), hub)
                    elif job in self._store.jobs:
                        self._to_job(job, msg.Refuse(why, job), hub)
                        self._store.forget_tasks(job, None)
                case cmd.ForgetTasks(job, tasks):
                    record = self._store.jobs.get(job)
                    self._store.forget_tasks(job, tasks)
                    if record is not None and tasks is None:
                        over.setdefault(record.session, set()).add(job)
                case cmd.ForgetSession(session):
                    self._store.forget_session(session)
                    hub.lives.forget_session(session)
                    self.keep_templates(hub)
                case cmd.AnswerActor() | cmd.HostActor() | cmd.TellActor() | cmd.ForgetActor():
                    actors.carry_out(hub, command)
                case cmd.SetTimer(timer, delay):
                    self._timers.set(timer, system.monotonic() + delay)
                case cmd.CancelTimer(timer):
                    self._timers.cancel(timer)
                case cmd.EndHub():
                    hub.ending = not self.replaying
                case _:
                    assert_never(command)
        if report is not None and not any(isinstance(command, cmd.DeliverItems) for command in commands):
            for item in report.items:  # late, or a setup cell run again: nobody will ask for it
                self._store.release(item.payload)
        for session, jobs in over.items():
            hub.freeing.part(session, jobs)
            self.forget_unwanted(session, hub)

    def _tell_end(self, job: JobId, hub: Hub, over: dict[SessionId, set[JobId]]) -> None:
        """A kernel that attached later does not know how many tasks there are: say that it was the last."""
        record, known = self._store.jobs.get(job), hub.core.state.jobs.get(job)
        if record is None or (known is not None and not known.finished):
            return
        over.setdefault(record.session, set()).add(job)
        if record.attached and known is not None:
            info = views.job(hub.core.state, self._store, job)
            if info is not None:
                self._to_job(job, msg.JobState(info), hub)

    def tell_mesh(self, session: SessionId, hub: Hub) -> None:
        """Send the session's kernel its workers as they are now."""
        workers = views.mesh(hub.core.state, session, self.pool.pids, self.names)
        self.to_session(session, msg.MeshState(workers), hub)

    def forget_unwanted(self, session: SessionId, hub: Hub) -> None:
        """Drop blobs that nobody refers to and no task needs, and tell the session's workers."""
        gone = self._store.drop_unwanted(session)
        for worker in hub.core.state.workers.values() if gone else ():
            peer = self._peers.get(b"w%d" % worker.id)
            if worker.session == session and peer is not None and peer.known & gone:
                self._peers.send(peer.identity, msg.Forget(sorted(peer.known & gone)))
                peer.known -= gone

    def use_template(self, record: SessionRecord, interpreter: msg.Interpreter, hub: Hub) -> None:
        """Workers of this session are forked from a template of this interpreter from now on."""
        before, record.template = record.template, self.pool.ensure(interpreter)
        if before not in ("", record.template):
            self.keep_templates(hub)

    def keep_templates(self, hub: Hub) -> None:
        """Let go of templates that no session and no actor uses."""
        if not self.replaying:
            used = {record.template for record in self._store.sessions.values()}
            self.pool.keep(used | hub.lives.templates())

    def _number(self, hub: Hub, report: msg.Report | None) -> int | None:
        return None if report is None else hub.reporter_number

    def _deliver(
        self,
        job: JobId,
        task: int,
        worker: WorkerId,
        accepted: tuple[int, ...],
        report: msg.Report,
        hub: Hub,
    ) -> None:
        if not accepted:
            return
        items = report.items
        if len(accepted) < len(items):
            taken = set(accepted)
            for position, item in enumerate(items):
                if position not in taken:
                    self._store.release(item.payload)
            items = [items[position] for position in accepted]
        results = msg.Results(job, task, hub.reporter_number, items)
        self._store.add_result(job, results)
        for item in items:
            if isinstance(item.payload, msg.Ref):
                hub.freeing.look(self._store.jobs[job].session, item.payload)
        self._to_job(job, results, hub)

    def _start_task(self, start: cmd.StartTask) -> None:
        if self.replaying:
            return
        peer = self._peers.get(b"w%d" % start.worker)
        if peer is None:
            return  # it died this moment; its loss is on its way and re-queues the task
        record = self._store.jobs[start.job]
        kept = record.tasks[start.task]
        blobs = self._store.sessions[record.session].blobs.kept
        for digest in (kept.context, *kept.wire.blobs):
            if digest and digest not in peer.known and digest in blobs:
                peer.known.add(digest)
                self._peers.send(peer.identity, msg.Blob(digest, blobs[digest]))
        run = msg.Run(start.attempt, start.job, kept.wire, kept.context, list(start.skip), start.careful)
        self._peers.send(peer.identity, run)

    def _start_worker(self, start: cmd.StartWorker, hub: Hub) -> None:
        if self.replaying:
            return
        worker = start.worker
        busy = self.leases.take(worker, start.gpus)
        if busy:
            self.refused_workers.append((worker, busy))
            return
        record = self._store.sessions[start.session]
        Path(record.logs).mkdir(mode=0o700, parents=True, exist_ok=True)
        template = record.template if start.actor is None else hub.lives.kept[start.actor].template
        spec = WorkerSpec(
            worker,
            start.number,
            self._address,
            self.worker_prefix(worker),
            record.logs,
            list(start.gpus),
            self.leases.alone(worker),
            str(self.spill),
        )
        self.pool.start(template, spec)

    def _to_worker(self, worker: WorkerId, message: msg.Wire) -> None:
        if not self.replaying:
            self._peers.send(b"w%d" % worker, message)

    def _to_job(self, job: JobId, message: msg.Wire, hub: Hub) -> None:
        record = self._store.jobs.get(job)
        self._to_client(ClientId(record.client) if record else None, message, hub)

    def to_session(self, session: SessionId, message: msg.Wire, hub: Hub) -> None:
        """Send this to the session's kernel, if there is one."""
        record = hub.core.state.sessions.get(session)
        self._to_client(record.client if record else None, message, hub)

    def _to_client(self, client_id: ClientId | None, message: msg.Wire, hub: Hub) -> None:
        client = hub.clients.by_id.get(client_id) if client_id else None
        if client is not None and not self.replaying:
            self._peers.send(client.identity, message)
