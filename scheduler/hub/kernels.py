"""What kernels ask of the hub: attaching, jobs, blobs, objects, resets.

Owns the meaning of each message of a kernel, and which kernels are attached. Never decides about work: every
request becomes an event for the core. Read next: `hub.py`, `store.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId, WorkerId
from cellmesh.scheduler.wire import messages as msg, system

from . import actors, views
from .store import JobRecord, SessionRecord

if TYPE_CHECKING:
    from .hub import Hub

_SURROUNDINGS = "surroundings"
"""Who refers to the context of new tasks, among the users of blobs: the session itself."""


@dataclass(slots=True)
class Client:
    """A kernel's process, or a worker's whose task submits work."""

    id: ClientId
    session: SessionId
    pid: int
    identity: bytes
    worker: WorkerId | None = None  # where the task runs

    @property
    def owner(self) -> str:
        """Who uses its blobs: the kernels of a session follow each other, and count as one."""
        return self.id if self.worker else ""


@dataclass(slots=True)
class Clients:
    """Kernels that are attached now, and running tasks."""

    by_id: dict[ClientId, Client] = field(default_factory=dict)
    by_identity: dict[bytes, Client] = field(default_factory=dict)


def hello(hub: Hub, at: float, identity: bytes, greeting: msg.Hello) -> None:
    hub.peers.greeted(identity)
    if greeting.protocol != msg.PROTOCOL:
        why = f"protocol: this hub speaks {msg.PROTOCOL}, the kernel {greeting.protocol}"
        hub.peers.send(identity, msg.Refuse(why))
        return
    session, client_id = SessionId(greeting.session), ClientId(greeting.client)
    if greeting.returning and (client_id not in hub.clients.by_id or session not in hub.core.state.sessions):
        # It was attached to a hub of our name that ended with its nursery, or has slept for too long.
        hub.client_gone(at, client_id)
        hub.peers.refuse(identity, "gone: the kernel's hub, or its session here, has ended")
        return
    known = hub.core.state.sessions.get(session)
    if known is not None and known.client is not None and known.client != client_id:
        holder = hub.clients.by_id.get(known.client)
        if holder is not None and system.is_alive(holder.pid):
            why = f"busy: another kernel (process {holder.pid}) holds the session of {greeting.name}"
            hub.peers.send(identity, msg.Refuse(why))
            return
        hub.client_gone(at, known.client)
    again = client_id in hub.clients.by_id
    client = Client(client_id, session, greeting.pid, identity)
    hub.clients.by_id[client_id] = hub.clients.by_identity[identity] = client
    if not again:
        hub.new_clients.append(client)
    assert greeting.interpreter is not None
    record = hub.store.sessions.get(session)
    if record is None:
        record = hub.store.sessions[session] = SessionRecord(hub.orders.logs(session))
    record.prefixes.add(hub.orders.client_prefix(client_id))
    hub.orders.use_template(record, greeting.interpreter, hub)
    hub.feed(ev.SessionAttached(at, session, client_id, greeting.name, greeting.grace))
    hub.peers.send(identity, _welcome(hub, client))
    if again or greeting.returning:
        send_unclaimed(hub, client)


def send_unclaimed(hub: Hub, client: Client) -> None:
    """The client is back: it may not have got everything."""
    for job_id in hub.store.taken_by(client.id):
        job = hub.store.jobs[job_id]
        _send_kept(hub, client.identity, job_id, job, output=False)
        if job.attached:  # the answer to `AttachJob` may have died with the hub
            _tell_state(hub, client.identity, job_id, job)


def _welcome(hub: Hub, client: Client) -> msg.Welcome:
    state = hub.core.state
    info = hub.session_info(client.session)
    return msg.Welcome(
        protocol=msg.PROTOCOL,
        epoch=state.epoch,
        hub=hub.name,
        session=info,
        cpus=state.cpus // ev.ONE,
        gpus=list(state.gpus),
        logs=hub.store.sessions[client.session].logs,
        objects=hub.orders.client_prefix(client.id),
        memory=state.memory,
        key=client.session,
    )


def take(hub: Hub, at: float, client: Client, message: msg.Wire) -> None:
    session = client.session
    record = hub.store.sessions.get(session)
    if record is None:
        return  # the session has ended; the client is on its way out
    match message:
        case msg.PutBlob(digest, data):
            twin = record.blobs.put(client.owner, digest, data)
            if twin is not None:
                hub.store.release(twin)  # same content in another segment
        case msg.DropBlob(digest):
            record.blobs.drop(client.owner, {digest})
            hub.orders.forget_unwanted(session, hub)
        case msg.OpenJob():
            job = JobId(message.job)
            if job not in hub.store.jobs:
                parent = None
                if client.worker and message.parent:
                    parent = JobId(message.parent[0]), message.parent[1]
                opened = JobRecord(session, client.id, hub.wall, message.cell, message.setup, parent)
                hub.store.add_job(job, opened)
            hub.feed(
                ev.JobOpened(
                    at, job, session, message.kind, message.title,
                    message.background, message.stop_on_error, message.setup,
                    _piece(hub, client, hub.store.jobs[job].parent), client.id,
                )
            )  # fmt: skip
        case msg.Cancel(job_id) | msg.Claim(job_id) if not _may_have(hub, client, JobId(job_id)):
            pass  # it says so by mistake: ids are drawn by chance
        case msg.Cancel(job_id, tasks, force, queued):
            chosen = None if tasks is None else tuple(tasks)
            hub.feed(ev.CancelRequested(at, JobId(job_id), chosen, force, queued))
        case msg.Claim(job_id, tasks):
            hub.feed(ev.ResultsClaimed(at, JobId(job_id), None if tasks is None else tuple(tasks)))
        case msg.AttachJob(job_id):
            _attach(hub, client, JobId(job_id))
        case msg.SetMesh(size, gpus):
            hub.feed(ev.MeshRequested(at, session, size, gpus))
        case msg.SetContext(digest, data):
            record.blobs.drop(_SURROUNDINGS, {record.context})
            record.blobs.put(_SURROUNDINGS, digest, data)
            record.context = digest
            hub.orders.forget_unwanted(session, hub)
            hub.orders.use_template(record, msgspec.msgpack.decode(data, type=msg.Interpreter), hub)
        case msg.KeepObject(ref):
            record.objects.add(ref.name)
            hub.freeing.look(session, ref)
        case msg.DropObject(name):
            record.objects.discard(name)
            hub.store.free(name)
        case msg.ResetSession(end):
            hub.feed(ev.SessionEnded(at, session) if end else ev.SessionReset(at, session))
            if end:  # its process may live on for long, and attach to other sessions
                hub.client_gone(at, client.id)
        case msg.Goodbye():
            hub.client_gone(at, client.id)
        case _ if isinstance(message, actors.Asked):
            actors.take(hub, at, client, message)


def _piece(hub: Hub, client: Client, parent: tuple[JobId, int] | None) -> tuple[JobId, int] | None:
    """The very piece of the parent task that runs where the client is."""
    worker = None if client.worker is None else hub.core.state.workers.get(client.worker)
    if parent is None or worker is None or worker.task is None or worker.task[0] != parent[0]:
        return parent
    runs = hub.core.state.jobs[parent[0]].tasks[worker.task[1]]
    return worker.task if runs.told_as == parent[1] else parent


def submit(hub: Hub, at: float, identity: bytes, order: msg.Submit) -> None:
    client = hub.clients.by_identity.get(identity)
    job = JobId(order.job)
    record = hub.store.jobs.get(job)
    if client is None:
        return  # it said goodbye, or is gone
    if record is None or not _may_have(hub, client, job):
        hub.peers.send(
            identity,
            msg.Refuse(
                "the hub does not know it any more: its results were taken, or the session was reset", job
            ),
        )
        return
    context = actors.context_for(hub, client) or hub.store.context(record)
    for task in order.tasks:
        hub.store.add_task(record, task, context)
    hub.feed(ev.TasksSubmitted(at, job, tuple(_spec(task) for task in order.tasks), order.last))


def _may_have(hub: Hub, client: Client, job: JobId) -> bool:
    """Whether it is no other session's."""
    record = hub.store.jobs.get(job)
    return record is None or record.session == client.session


_POOLS = {pool.value: pool for pool in ev.Pool}


def _spec(task: msg.TaskWire) -> ev.TaskSpec:
    """What the core must know of it. Amounts are exact from here on."""
    return ev.TaskSpec(
        task.index,
        task.size,
        _POOLS[task.pool],
        task.worker,
        round(task.gpus * ev.ONE) if task.gpus else 0,
        task.retries,
        ev.ONE if task.cpus == 1 else round(task.cpus * ev.ONE),
        task.memory,
        task.priority,
        task.timeout,
    )


def drop_all_blobs(hub: Hub, client: Client) -> None:
    """The client is gone. Whoever comes after it in its session brings all blobs anew."""
    record = hub.store.sessions.get(client.session)
    if record is not None:
        record.blobs.drop_all(client.owner)
        hub.orders.forget_unwanted(client.session, hub)


def _attach(hub: Hub, client: Client, job_id: JobId) -> None:
    record = hub.store.jobs.get(job_id)
    info = views.job(hub.core.state, hub.store, job_id)
    if record is None or info is None or record.session != client.session:
        nothing = msg.JobInfo(job_id, 0, "", "", False, True, False, 0, 0, 0, 0, 0.0)
        hub.peers.send(client.identity, msg.JobState(nothing, missing=True))
        return
    hub.store.hand_over(job_id, client.id)
    record.attached = True
    _send_kept(hub, client.identity, job_id, record, output=True)
    _tell_state(hub, client.identity, job_id, record)


def _tell_state(hub: Hub, identity: bytes, job_id: JobId, job: JobRecord) -> None:
    """After all that is kept of the job: where it stands, and what is still to come."""
    info = views.job(hub.core.state, hub.store, job_id)
    if info is not None:
        left = [(index, task.wire.size) for index, task in job.tasks.items() if task.settled is None]
        hub.peers.send(identity, msg.JobState(msgspec.structs.replace(info, left=left)))


def _send_kept(hub: Hub, identity: bytes, job_id: JobId, job: JobRecord, *, output: bool) -> None:
    if output:
        if job.outputs.lost:
            text = f"… {job.outputs.lost} earlier outputs are only in %mesh logs …"
            hub.peers.send(identity, msg.Output(job_id, 0, None, "note", text))
        for kept in job.outputs.kept:
            hub.peers.send(identity, kept)
    for task in job.tasks.values():
        for results in task.results or ():
            hub.peers.send(identity, results)
        if output and task.progress is not None:
            hub.peers.send(identity, task.progress)
        if task.settled is not None:
            hub.peers.send(identity, task.settled)
