"""What a hub keeps goes with its last use: peers, blobs and what dead notebooks had put."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec
import pytest
import zmq

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId, WorkerId
from cellmesh.scheduler.hub import kernels, recovery
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.journal import Entry
from cellmesh.scheduler.hub.kernels import Client
from cellmesh.scheduler.hub.orders import Orders
from cellmesh.scheduler.hub.peers import Peers
from cellmesh.scheduler.hub.pool import Pool
from cellmesh.scheduler.hub.store import SessionRecord, Store
from cellmesh.scheduler.hub.timers import Timers
from cellmesh.scheduler.wire import messages as msg
from cellmesh.scheduler.wire.link import Link

S, C, KERNEL = SessionId("s"), ClientId("c"), b"kc"


@pytest.fixture
def router() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        yield socket


@pytest.fixture
def hub(tmp_path: Path, router: zmq.Socket[bytes]) -> Iterator[Hub]:
    """With one session and its kernel, and nobody to start workers."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peers, store, pool = Peers(router, 1), Store(), Pool(ours)
        orders = Orders("test", "ipc://nowhere", tmp_path, store, peers, pool, Timers())
        hub = Hub("test", Core(), store, peers, orders)
        hub.feed(ev.HubStarted(0.0, 1, 2))
        hub.feed(ev.SessionAttached(0.0, S, C, "a.ipynb", 600.0))
        hub.clients.by_id[C] = hub.clients.by_identity[KERNEL] = Client(C, S, os.getpid(), KERNEL)
        hub.store.sessions[S] = SessionRecord("")
        orders.replaying = True
        yield hub


def tell(hub: Hub, identity: bytes, seq: int, *messages: msg.Wire) -> None:
    frame = msgspec.msgpack.encode((seq, 0, messages))
    recovery.apply(hub, Entry("frame", 1.0, 1.0, identity.decode("latin-1"), frame))


def take_frame(hub: Hub, router: zmq.Socket[bytes]) -> None:
    """The next one that a real socket brings."""
    identity, frame = router.recv_multipart()
    recovery.apply(hub, Entry("frame", 1.0, 1.0, identity.decode("latin-1"), frame))


def test_who_has_left_is_forgotten_whatever_it_still_says(hub: Hub) -> None:
    tell(hub, KERNEL, 1, msg.AckNow())
    hub.peers.flush()
    assert hub.peers.get(KERNEL) is not None
    tell(hub, KERNEL, 2, msg.Goodbye())
    hub.peers.flush()
    assert hub.peers.counts() == {}
    tell(hub, KERNEL, 3, msg.AckNow())
    hub.peers.flush()
    assert hub.peers.counts() == {}


def test_the_last_words_of_a_dead_worker_leave_nothing_behind(hub: Hub) -> None:
    worker = WorkerId(7)
    hub.worker_gone(1.0, worker, "was killed by SIGKILL")
    tell(hub, b"w7", 1, msg.Ready(msg.PROTOCOL, 7, 4_000_000))
    hub.peers.flush()
    assert (hub.peers.counts(), hub.orders.pool.pids, hub.orders.names) == ({}, {}, {})


def test_an_onlooker_is_forgotten_with_its_answer_and_may_ask_again(
    hub: Hub, router: zmq.Socket[bytes]
) -> None:
    router.bind("inproc://hub")
    with router.context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.IDENTITY, b"o1")
        dealer.connect("inproc://hub")
        theirs: Link[msg.Status] = Link(msg.ToClient, dealer.send)
        heard = []
        for request in range(3):
            theirs.send(msg.AskStatus(request))
            theirs.flush()
            take_frame(hub, router)
            hub.peers.flush()
            heard += [message.request for message in theirs.receive(dealer.recv())]
    assert heard == [0, 1, 2]
    assert hub.peers.counts() == {}


def launch(hub: Hub, job: int, seq: int, digest: str) -> None:
    task = msg.TaskWire(0, "call", b"", [digest])
    tell(hub, KERNEL, seq, msg.OpenJob(job, "submit", "f"), msg.Submit(job, [task], True))


def test_a_blob_that_was_dropped_while_a_task_needed_it_goes_with_that_task(hub: Hub) -> None:
    blobs = hub.store.sessions[S].blobs.kept
    tell(hub, KERNEL, 1, msg.PutBlob("one", b"1"), msg.PutBlob("two", b"2"))
    launch(hub, 1, 2, "one")
    launch(hub, 2, 3, "two")
    tell(hub, KERNEL, 4, msg.DropBlob("one"), msg.DropBlob("two"), msg.PutBlob("two", b"2"))
    assert set(blobs) == {"one", "two"}
    tell(hub, KERNEL, 5, msg.Cancel(1), msg.Cancel(2))
    assert set(blobs) == {"two"}
    hub.client_gone(2.0, C)
    assert not blobs


def test_surroundings_go_with_the_last_task_that_was_sent_under_them(hub: Hub) -> None:
    blobs = hub.store.sessions[S].blobs.kept
    records = [msg.Interpreter("python", place, {}, []) for place in ("one", "two", "three")]
    places = [msgspec.msgpack.encode(record) for record in records]
    for seq, place in enumerate(places):
        tell(hub, KERNEL, 10 + 2 * seq, msg.SetContext(f"place {seq}", place))
        if seq != 1:
            launch(hub, seq, 11 + 2 * seq, "f")
    assert set(blobs) == {"place 0", "place 2"}
    tell(hub, KERNEL, 20, msg.Cancel(0), msg.Cancel(2))
    assert set(blobs) == {"place 0", "place 2"}
    tell(hub, KERNEL, 21, msg.Claim(0), msg.Claim(2))
    assert set(blobs) == {"place 2"}


def test_what_a_dead_notebook_had_put_goes_with_its_last_job(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[str] = []
    monkeypatch.setattr(hub.freeing, "free", freed.append)
    launch(hub, 1, 1, "f")
    launch(hub, 2, 2, "f")
    name = f"{hub.orders.client_prefix(C)}1"
    tell(hub, KERNEL, 3, msg.KeepObject(msg.Ref(name, 1)))
    hub.client_gone(2.0, C)
    hub.feed(ev.CancelRequested(3.0, JobId(1)))
    assert freed == []
    hub.feed(ev.CancelRequested(3.0, JobId(2)))
    assert freed == [name]
    assert kernels.Clients() == hub.clients


Fact = Literal["timer", "client-lost", "worker-lost", "worker-paused"]


def poison(hub: Hub, kind: Fact) -> Entry:
    """What the shell sees of a hub whose records contradict each other."""
    state = hub.core.state
    (worker,) = state.workers.values()
    name, data = str(worker.id), b""
    match kind:
        case "timer":
            name = "idle:99"
            state.timers.add(name)
        case "client-lost":
            name = C
            state.sessions[S].jobs[JobId(99)] = None
        case "worker-lost":
            data = msgspec.msgpack.encode(("died", None))
            worker.task = (JobId(99), 0)
        case "worker-paused":
            data = b"1"
            worker.session = SessionId("nobody's")
    return Entry(kind, 1.0, 1.0, name, data)


@pytest.mark.parametrize("kind", get_args(Fact))
def test_a_fact_that_the_hub_fails_on_is_told_and_what_follows_is_taken(
    hub: Hub, router: zmq.Socket[bytes], kind: Fact, capfd: pytest.CaptureFixture[str]
) -> None:
    other = Client(ClientId("d"), SessionId("t"), os.getpid(), b"kd")
    hub.feed(ev.SessionAttached(0.0, other.session, other.id, "b.ipynb", 600.0))
    hub.clients.by_id[other.id] = hub.clients.by_identity[other.identity] = other
    hub.store.sessions[other.session] = SessionRecord("")
    launch(hub, 1, 1, "f")
    router.bind("inproc://hub")
    with router.context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.IDENTITY, other.identity)
        dealer.connect("inproc://hub")
        theirs: Link[msg.Wire] = Link(msg.ToClient, dealer.send)
        theirs.send(msg.OpenJob(2, "submit", "f"))
        theirs.flush()
        take_frame(hub, router)
        recovery.apply(hub, poison(hub, kind))
        hub.peers.flush()
        (notice,) = theirs.receive(dealer.recv())
        theirs.send(msg.Cancel(2))
        theirs.send(msg.Submit(2, [], True))
        theirs.flush()
        take_frame(hub, router)
    assert isinstance(notice, msg.Notice)
    assert f'failed on "{kind}"' in notice.text
    assert "KeyError" in capfd.readouterr().err
    assert hub.core.state.jobs[JobId(2)].finished
