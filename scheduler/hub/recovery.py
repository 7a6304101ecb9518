"""A killed hub, rebuilt: the journal replayed through the same code that made it.

Owns the replay and the compaction of the journal. Never talks to anyone: while entries are replayed,
`Orders.replaying` keeps everything inside. Read next: `journal.py`, `main.py`.
"""

import pickle
import traceback

import msgspec

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.ids import ClientId, WorkerId
from cellmesh.scheduler.wire.messages import Refuse

from .hub import Hub
from .journal import Entry, Journal

_decode_end = msgspec.msgpack.Decoder(tuple[str, tuple[int, int] | None, int, str]).decode


def started(wall: float, event: ev.HubStarted) -> Entry:
    """The first entry of a journal."""
    return Entry("state", event.at, wall, "started", pickle.dumps(event))


def replay(hub: Hub, journal: Journal) -> bool:
    """Feed all entries through the hub; False if there are none."""
    hub.orders.replaying = True
    found = False
    try:
        for entry in journal.read():
            found = True
            apply(hub, entry)
    finally:
        hub.orders.replaying = False
    return found


def apply(hub: Hub, entry: Entry) -> None:
    """One entry: used for what happens now and for what happened before alike.

    An error must not end the hub: the journal would bring the same entry again at every restart.
    """
    hub.wall = entry.wall
    if entry.kind == "frame":
        _take_frame(hub, entry)
    elif entry.kind == "state":
        state = pickle.loads(entry.data)
        if isinstance(state, ev.HubStarted):
            hub.feed(state)
        else:
            restore(hub, state)
    else:
        try:
            _take_fact(hub, entry)
        except Exception:  # noqa: BLE001 - see above; the log has it, all are told
            traceback.print_exc()
            hub.announce(
                f'internal: the hub failed on "{entry.kind}" ({entry.name}); nursery.log in '
                f"{hub.orders.data} has the details. What waits for that may wait for ever: if something "
                "is stuck, run %mesh reset."
            )


def _take_fact(hub: Hub, entry: Entry) -> None:
    """What the shell itself observed."""
    match entry.kind:
        case "timer":
            hub.feed(ev.TimerFired(entry.at, entry.name))
        case "client-lost":
            hub.client_gone(entry.at, ClientId(entry.name))
        case "worker-lost":
            why, mark, peak, elsewhere = _decode_end(entry.data)
            hub.worker_gone(entry.at, WorkerId(int(entry.name)), why, mark, peak, elsewhere)
        case "worker-paused":
            hub.feed(ev.WorkerPaused(entry.at, WorkerId(int(entry.name)), bool(entry.data)))
        case "recovered":
            epoch, living = pickle.loads(entry.data)
            hub.recovered(entry.at, epoch, living)


def _take_frame(hub: Hub, entry: Entry) -> None:
    """A frame from outside. Whatever is wrong with it is its sender's trouble and nobody else's."""
    identity = entry.name.encode("latin-1")
    try:
        messages = hub.peers.receive(identity, entry.data)
    except msgspec.MsgspecError as error:
        hub.peers.refuse(identity, f"protocol: the hub cannot read this message ({error})")
        return
    for message in messages:
        try:
            hub.take(entry.at, identity, message)
        except Exception:  # noqa: BLE001 - as above; the log has it, the sender is told
            traceback.print_exc()
            why = f"internal: the hub failed on {type(message).__name__}; its log has the details"
            hub.peers.send(identity, Refuse(why))
    if not hub.knows(identity):
        hub.peers.leave(identity)


def compact(hub: Hub, journal: Journal, at: float) -> bool:
    """Replace the journal by the state that it led to; whether the disk took it."""
    state = (
        hub.core.state,
        hub.store.sessions,
        hub.store.jobs,
        hub.clients,
        hub.orders.names,
        hub.peers.counts(),
        (hub.lives.kept, hub.lives.ended),
    )
    return journal.rewrite(Entry("state", at, hub.wall, "compacted", pickle.dumps(state, protocol=5)))


def restore(hub: Hub, state: tuple[object, ...]) -> None:
    """Take over a compacted state."""
    core_state, sessions, jobs, clients, names, counts, lives = state
    hub.core.restore(core_state)  # type: ignore[arg-type]
    hub.peers.restore(counts)  # type: ignore[arg-type]
    hub.store.restore(sessions, jobs)  # type: ignore[arg-type]
    hub.lives.restore(*lives)  # type: ignore[misc]
    hub.clients = clients  # type: ignore[assignment]
    hub.orders.names = names  # type: ignore[assignment]
