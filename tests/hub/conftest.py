"""A hub in this process, for tests that look into it."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from conformance.recording import Desk
from hub.bare import KERNEL, C, S

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.kernels import Client
from cellmesh.scheduler.hub.orders import Orders
from cellmesh.scheduler.hub.peers import Peers
from cellmesh.scheduler.hub.pool import Pool
from cellmesh.scheduler.hub.store import SessionRecord, Store
from cellmesh.scheduler.hub.timers import Timers
from cellmesh.scheduler.nursery.start import ensure_hub
from tests.support import leftovers


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


@pytest.fixture
def folder(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    return ensure_hub(f"test-{uuid.uuid4().hex[:6]}")


@pytest.fixture
def desk(folder: Path, runtime: Path) -> Iterator[Desk]:
    """At the end nothing may be left."""
    opened = Desk(EmbeddedEngine(folder))
    yield opened
    pids = [process.pid for process in leftovers.processes(runtime)]
    opened.engine.close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []


@pytest.fixture
def gpus(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """With one that is not there."""
    monkeypatch.setenv("CELLMESH_LOGICAL_GPUS", "1")
    opened = Desk(EmbeddedEngine(ensure_hub(f"test-{uuid.uuid4().hex[:6]}")))
    yield opened
    pids = [process.pid for process in leftovers.processes(runtime)]
    opened.engine.close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
