"""What a hub keeps goes with its last use: peers, blobs and what dead notebooks had put."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import msgspec
import pytest
import zmq
from hub.bare import KERNEL, C, S, launch, take_frame, tell

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.ids import JobId, WorkerId
from cellmesh.scheduler.hub import kernels
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.timers import Timers
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire import messages as msg
from cellmesh.scheduler.wire.link import Link


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


def test_kernels_that_come_and_go_leave_nothing_behind(hub: Hub) -> None:
    here = msg.Interpreter("python", {}, "/", [])
    hub.client_gone(0.0, C)
    for number in range(3):
        who = b"k%d" % number
        hello = msg.Hello(msg.PROTOCOL, f"{number}", "kernel", os.getpid(), S, "a.ipynb", 600.0, here)
        tell(hub, who, 1, hello, msg.PutBlob("f", b"f"))
        assert len(hub.store.sessions[S].prefixes) == 1
        tell(hub, who, 2, msg.Goodbye())
    hub.peers.flush()
    assert hub.store.sessions[S].prefixes == set()
    assert hub.store.sessions[S].blobs.kept == {}
    assert hub.clients == kernels.Clients()
    assert hub.peers.counts() == {}


def test_timers_that_were_cancelled_do_not_wait_for_their_time() -> None:
    timers = Timers()
    timers.set("first", 1.0)
    for number in range(100_000):
        timers.set(f"timeout:{number}", 3600.0 + number)
        timers.cancel(f"timeout:{number}")
    timers.set("last", 2.0)
    assert len(timers._heap) < 2000
    assert timers.due(5.0) == ["first", "last"]


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
            theirs.reconnect(msg.AskStatus(request))
            take_frame(hub, router)
            hub.peers.flush()
            heard += [answer.request for answer in theirs.receive(dealer.recv())]
    assert heard == [0, 1, 2]
    assert hub.peers.counts() == {}


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
    records = [msg.Interpreter("python", {}, place, []) for place in ("one", "two", "three")]
    places = [msgspec.msgpack.encode(record) for record in records]
    seqs = count(1)
    for number, place in enumerate(places):
        tell(hub, KERNEL, next(seqs), msg.SetContext(f"place {number}", place))
        if number != 1:
            launch(hub, number, next(seqs), "f")
    assert set(blobs) == {"place 0", "place 2"}
    tell(hub, KERNEL, next(seqs), msg.Cancel(0), msg.Cancel(2))
    assert set(blobs) == {"place 0", "place 2"}
    tell(hub, KERNEL, next(seqs), msg.Claim(0), msg.Claim(2))
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


def test_what_a_worker_left_that_died_with_the_hub_goes(hub: Hub) -> None:
    hub.feed(ev.MeshRequested(1.0, S, 2))
    living, dead = hub.core.state.workers
    names = [segments.new_name(hub.orders.worker_prefix(each)) for each in (living, dead)]
    left = [Path(segments.path_of(name)) for name in names]
    for path in left:
        path.touch()
    hub.recovered(2.0, 2, (living,))
    assert [path.exists() for path in left] == [True, False]
    left[0].unlink()
