"""Clients inside: running tasks that submit tasks, each from its worker's process.

Owns what they may say and what ends with them. They are second clients of their worker's session: results
of what they open go to them, all else (the mesh, the surroundings, notices) stays with the notebook. Never
decides what a parent's end means for its children: the core does. Read next: `kernels.py`,
`../core/nesting.py`, `../worker/lending.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.ids import ClientId, WorkerId
from cellmesh.scheduler.core.state import WorkerState
from cellmesh.scheduler.wire import messages as msg

from . import actors, kernels

if TYPE_CHECKING:
    from .hub import Hub
    from .kernels import Client

_NOTEBOOKS_OWN = (msg.SetMesh, msg.SetContext, msg.ResetSession, msg.AttachJob)


def hello(hub: Hub, identity: bytes, greeting: msg.Hello) -> None:
    """A task attaches, or comes back to a hub that does."""
    hub.peers.greeted(identity)
    worker = hub.core.state.workers.get(WorkerId(greeting.worker))
    why = ""
    if greeting.protocol != msg.PROTOCOL:
        why = f"protocol: this hub speaks {msg.PROTOCOL}, the task {greeting.protocol}"
    elif worker is None or worker.state is WorkerState.ENDING:
        why = "inside: the worker of this task has ended"
    elif hub.orders.pool.pids.get(worker.id) != greeting.pid:
        why = (
            f"inside: process {greeting.pid} is not the worker itself; tasks are submitted from the worker's "
            "own process, not from one that it has started"
        )
    if worker is None or why:
        hub.peers.send(identity, msg.Refuse(why))
        return
    client_id = ClientId(greeting.client)
    again = client_id in hub.clients.by_id
    client = kernels.Client(client_id, worker.session, greeting.pid, identity, worker.id)
    hub.clients.by_id[client_id] = hub.clients.by_identity[identity] = client
    if not again:
        hub.new_clients.append(client)
    record = hub.store.sessions[worker.session]
    prefix = hub.orders.client_prefix(client_id)
    record.prefixes.add(prefix)
    hub.peers.send(
        identity,
        msg.Welcome(
            protocol=msg.PROTOCOL,
            epoch=hub.core.state.epoch,
            hub=hub.name,
            session=None,
            cpus=hub.core.state.cpus // ev.ONE,
            gpus=list(hub.core.state.gpus),
            logs=record.logs,
            objects=prefix,
            memory=hub.core.state.memory,
            key=client.session,
        ),
    )
    if again or greeting.returning:
        kernels.send_unclaimed(hub, client)


def may(hub: Hub, client: Client, message: msg.Wire) -> bool:
    """Whether the message is for this client to send; if not, it is told."""
    if client.worker is None or not isinstance(message, _NOTEBOOKS_OWN):
        return True
    what = type(message).__name__
    hub.peers.send(client.identity, msg.Refuse(f"inside: {what} is for the notebook, not for its tasks"))
    return False


def gone(hub: Hub, at: float, client: Client) -> None:
    """Nobody takes the results of what it opened any more: that ends."""
    opened = hub.store.taken_by(client.id)
    if opened:
        hub.feed(ev.JobsAbandoned(at, opened))
    actors.task_gone(hub, at, client.id)
