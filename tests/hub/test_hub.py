"""A real hub under what must not end it, and what must: odd frames, kills at birth, SIGTERM, compaction."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import zmq
from conformance.recording import Desk

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.hub import kernels, recovery
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.journal import Journal
from cellmesh.scheduler.hub.kernels import Client
from cellmesh.scheduler.hub.orders import Orders
from cellmesh.scheduler.hub.peers import Peers
from cellmesh.scheduler.hub.pool import Pool
from cellmesh.scheduler.hub.store import JobRecord, SessionRecord, Store
from cellmesh.scheduler.hub.timers import Timers
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.wire import folders, messages as msg
from tests.support import leftovers


@pytest.fixture
def folder(runtime: Path) -> Path:
    return ensure_hub(f"test-{uuid.uuid4().hex[:6]}")


@pytest.fixture
def desk(folder: Path) -> Iterator[Desk]:
    opened = Desk(EmbeddedEngine(folder))
    yield opened
    opened.engine.close(end_session=True)


def test_a_frame_that_nobody_can_read_is_its_senders_trouble(desk: Desk, folder: Path) -> None:
    before = desk.engine.status().pid
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.setsockopt(zmq.LINGER, 0)
        stranger.connect(folders.read_connection(folder).socket)
        for frame in (b"", b"garbage", b"\x93\x01\x00\x91\x92\xa5Hello\x07"):
            stranger.send(frame)
            assert stranger.poll(10_000)
            assert b"cannot read" in stranger.recv()
    assert desk.value(desk.call(abs, -3)) == 3
    assert desk.engine.status().pid == before


def test_workers_that_are_dismissed_before_they_are_born_end(desk: Desk, runtime: Path) -> None:
    desk.engine.set_mesh(6)
    desk.engine.set_mesh(1)
    desk.told.wait(lambda: [w.state for w in desk.told.mesh()] == ["idle"], "one worker")
    deadline = time.monotonic() + 30
    while sum(name.startswith("cellmesh-w") for name in names(runtime)) != 1:
        assert time.monotonic() < deadline, names(runtime)


def names(runtime: Path) -> list[str]:
    """What the processes call themselves; those that end meanwhile are left out."""
    found = []
    for process in leftovers.processes(runtime):
        with contextlib.suppress(psutil.Error):
            found.append(process.name())
    return found


def test_sessions_that_a_process_has_ended_leave_nothing_in_the_hub(desk: Desk, folder: Path) -> None:
    hub = psutil.Process(desk.engine.status().pid)

    def visit() -> None:
        other = Desk(EmbeddedEngine(folder), "another test")
        other.engine.close(end_session=True)

    visit()
    before = hub.num_fds()
    for _ in range(10):
        visit()
    deadline = time.monotonic() + 30
    while hub.num_fds() > before:
        assert time.monotonic() < deadline, f"{hub.num_fds()} descriptors, {before} before"
        desk.engine.status()


def test_sigterm_ends_an_idle_hub_and_everything_with_it(folder: Path, runtime: Path) -> None:
    desk = Desk(EmbeddedEngine(folder))
    desk.mesh(1)
    pids = [process.pid for process in leftovers.processes(runtime)]
    os.kill(desk.engine.status().pid, signal.SIGTERM)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []
    desk.told.wait(lambda: any(call[0] == "lost" for call in desk.told.calls), "the news")
    desk.engine.close(end_session=True)


def test_results_arrive_once_however_often_the_hub_is_killed(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(lambda x: x * x, list(range(300)), 3, retries=2))  # type: ignore[arg-type]
    for _ in range(3):
        os.kill(desk.engine.status(20).pid, signal.SIGKILL)
    assert set(desk.told.wait_settled(job, 100).values()) == {"done"}
    values = desk.told.values(job)
    assert [values[index // 3, index % 3] for index in range(300)] == [x * x for x in range(300)]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made: list[tuple[zmq.Context[zmq.Socket[bytes]], socket.socket, socket.socket]] = []

    def make() -> Hub:
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        ours, theirs = socket.socketpair()
        made.append((context, ours, theirs))
        peers, store, pool = Peers(router, 1), Store(), Pool(ours)
        orders = Orders("test", "ipc://nowhere", tmp_path, store, peers, pool, Timers())
        return Hub("test", Core(), store, peers, orders)

    made_hub = make()
    made_hub.make_another = make  # type: ignore[attr-defined]
    yield made_hub
    for context, ours, theirs in made:
        context.destroy(linger=0)
        ours.close()
        theirs.close()


def test_a_task_that_waits_takes_less_than_a_kilobyte_of_the_hub(hub: Hub) -> None:
    session, client, job, count = SessionId("s"), ClientId("c"), JobId(7), 20_000
    hub.feed(ev.HubStarted(0.0, 1, 2))
    hub.feed(ev.SessionAttached(1.0, session, client, "a.ipynb", 600.0))
    hub.clients.by_id[client] = hub.clients.by_identity[b"kc"] = Client(client, session, os.getpid(), b"kc")
    hub.store.sessions[session] = SessionRecord("")
    hub.store.add_job(job, JobRecord(session, client, 0.0, "", False))
    hub.orders.replaying = True  # no worker is to be started
    hub.feed(ev.JobOpened(2.0, job, session, "submit", "f"))
    frames = [
        msgspec.msgpack.encode(msg.Submit(job, [msg.TaskWire(n, "call", b"x" * 40, ["digest" * 6])], False))
        for n in range(count)
    ]
    decoder = msgspec.msgpack.Decoder(msg.Submit)
    gc.collect()
    tracemalloc.start()
    try:
        for frame in frames:
            kernels.submit(hub, 3.0, b"kc", decoder.decode(frame))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(hub.core.state.jobs[job].tasks) == count
    assert taken / count < 1000


def test_a_compacted_journal_leads_to_the_same_hub(hub: Hub, tmp_path: Path) -> None:
    session, client = SessionId("s"), ClientId("c")
    hub.feed(ev.HubStarted(0.0, 1, 2))
    hub.feed(ev.SessionAttached(1.0, session, client, "a.ipynb", 600.0))
    hub.clients.by_id[client] = Client(client, session, os.getpid(), b"kc")
    hub.feed(ev.JobOpened(2.0, JobId(7), session, "map", "map f"))
    hub.peers.receive(b"kc", b"\x93\xfa\x00\x90")  # a greeting: number 6 comes next
    journal = Journal(tmp_path / "journal")
    recovery.compact(hub, journal, 3.0)
    again: Hub = hub.make_another()  # type: ignore[attr-defined]
    assert recovery.replay(again, journal)
    journal.close()
    assert again.core.state == hub.core.state
    assert again.clients == hub.clients
    assert again.peers.counts() == {b"kc": (5, 1 << 32)}
    again.feed(ev.SessionEnded(4.0, session))
    assert again.core.state.sessions == {}
