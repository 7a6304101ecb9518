"""What should never come: facts that contradict the records, ids that are taken, kernels of other hubs."""

from __future__ import annotations

import os
from typing import Literal, get_args

import msgspec
import pytest
import zmq
from hub.bare import KERNEL, C, S, launch, take_frame

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId
from cellmesh.scheduler.hub import recovery
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.journal import Entry
from cellmesh.scheduler.hub.kernels import Client
from cellmesh.scheduler.hub.store import SessionRecord
from cellmesh.scheduler.wire import messages as msg
from cellmesh.scheduler.wire.link import Link

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
            data = msgspec.msgpack.encode(("died", None, 0, ""))
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


def test_a_kernel_that_returns_to_an_ended_session_is_told(hub: Hub, router: zmq.Socket[bytes]) -> None:
    """The hub was killed while the kernel slept, and did not wait for it for ever."""
    router.bind("inproc://hub")
    here = msg.Interpreter("python", {}, "/", [])
    with router.context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.IDENTITY, KERNEL)
        dealer.connect("inproc://hub")
        theirs: Link[msg.Wire] = Link(msg.ToClient, dealer.send)
        hub.feed(ev.SessionEnded(1.0, S))
        theirs.reconnect(msg.Hello(msg.PROTOCOL, C, "kernel", os.getpid(), S, "a.ipynb", 600.0, here, True))
        take_frame(hub, router)
        hub.peers.flush()
        (refusal,) = theirs.receive(dealer.recv())
    assert isinstance(refusal, msg.Refuse)
    assert refusal.why.startswith("gone: ")
    assert hub.core.state.sessions == hub.clients.by_id == {}


def test_an_id_that_is_another_sessions_jobs_does_it_no_harm(hub: Hub, router: zmq.Socket[bytes]) -> None:
    other = Client(ClientId("d"), SessionId("t"), os.getpid(), b"kd")
    hub.feed(ev.SessionAttached(0.0, other.session, other.id, "b.ipynb", 600.0))
    hub.clients.by_id[other.id] = hub.clients.by_identity[other.identity] = other
    hub.store.sessions[other.session] = SessionRecord("")
    launch(hub, 1, 1, "f")
    router.bind("inproc://hub")
    hub.orders.replaying = False
    with router.context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.IDENTITY, other.identity)
        dealer.connect("inproc://hub")
        theirs: Link[msg.Wire] = Link(msg.ToClient, dealer.send)
        for message in (
            msg.OpenJob(1, "submit", "f"),
            msg.Submit(1, [msg.TaskWire(1, "call", b"")], True),
            msg.Cancel(1),
            msg.Claim(1),
        ):
            theirs.send(message)
        theirs.flush()
        take_frame(hub, router)
        hub.peers.flush()
        refusals = theirs.receive(dealer.recv())
    assert [(type(refusal), refusal.job) for refusal in refusals] == [(msg.Refuse, 1)] * 2
    assert refusals[0].why == "another job has this id"
    assert list(hub.store.jobs[JobId(1)].tasks) == [0]
    assert not hub.core.state.jobs[JobId(1)].cancelled
