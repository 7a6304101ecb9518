"""An actor is called from another host of the cluster: from inside another actor, and from a cell there."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.recording import DEADLINE, Desk
from engines.dask.machines import Machines

import cellmesh as cm
from cellmesh.kernel import attaching
from cellmesh.scheduler.engines.dask.engine import DaskEngine


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with Machines(tmp_path_factory.mktemp("far")) as cluster:
        for name in ("a", "b", "c"):
            cluster.add(name)
        yield cluster


@pytest.fixture
def connected(machines: Machines) -> Iterator[None]:
    client = machines.client()
    client.wait_for_workers(2, timeout=DEADLINE)
    cm.connect("dask", client)
    yield
    cm.connect("inline")


@cm.actor
class Store:
    def __init__(self) -> None:
        self.value = b""

    def put(self, value: bytes) -> int:
        self.value = value
        return len(value)

    def get(self) -> bytes:
        return self.value

    def count(self, upto: int) -> Iterator[int]:
        yield from range(upto)

    def fail(self) -> None:
        raise ValueError("as asked")


@cm.actor
class User:
    def fill(self, store: Any, size: int) -> tuple[int, bool]:
        value = bytes(range(256)) * (size // 256)
        return store.put(value).result(), store.get().result() == value

    def by_name(self, name: str) -> int:
        import cellmesh

        return len(cellmesh.get_actor(name).get().result())

    def stream(self, store: Any) -> list[int]:
        return list(store.count(5))

    def fails(self, store: Any) -> str:
        try:
            store.fail().result()
        except ValueError as error:
            return str(error)
        return ""


def places(*handles: Any) -> set[str]:
    """The Dask workers beside which they live."""
    engine: Any = attaching.current().engine
    hosts = {}
    for address, host in engine._fleet.hosts.items():
        hosts[str(host.engine.mirror.folder)] = address
    return {
        hosts[str(engine.actors.find("", handle._caller.info.id).actor.address.rpartition("/")[0])]
        for handle in handles
    }


@pytest.mark.usefixtures("connected")
def test_actors_on_two_hosts_call_each_other() -> None:
    store, user = Store.start(name="store"), User.start()
    assert store.put(b"here").result(DEADLINE) == 4
    assert user.by_name("store").result(DEADLINE) == 4
    assert len(places(store, user)) == 2
    for size in (256, 1 << 20):
        assert user.fill(store, size).result(DEADLINE) == (size, True)
    assert user.stream(store).result(DEADLINE) == [0, 1, 2, 3, 4]
    assert user.fails(store).result(DEADLINE) == "as asked"
    store.stop()
    with pytest.raises(cm.ActorDied, match="was stopped"):
        user.fill(store, 256).result(DEADLINE)


def test_a_cell_on_any_host_finds_a_detached_actor(machines: Machines) -> None:
    engine = DaskEngine(machines.client())
    desk = Desk(engine, "cells")
    desk.mesh(2)
    cm.connect("dask", machines.client())
    store = Store.options(name="shared", detached=True).start()
    store.put(b"12345").result(DEADLINE)
    source = "import cellmesh\nlen(cellmesh.get_actor('shared').get().result())"
    assert [desk.value(desk.cell(source, worker=number)) for number in (0, 1)] == [5, 5]
    store.stop()
    cm.connect("inline")
    engine.close(end_session=True)


@pytest.mark.usefixtures("connected")
def test_a_caller_on_another_host_follows_an_actor_that_moves(machines: Machines) -> None:
    moving = Store.options(restarts=1).start(name="moving")
    user = User.start()
    assert moving.put(b"123").result(DEADLINE) == 3
    assert user.by_name("moving").result(DEADLINE) == 3
    moving.checkpoint().result(DEADLINE)
    client = machines.client()
    (address,) = places(moving)
    machines.workers[machines.name(client, address)].send_signal(signal.SIGTERM)
    assert len(moving.get().result(DEADLINE)) == 3
    if address not in places(user):  # else it was lost with that host
        assert user.by_name("moving").result(DEADLINE) == 3


@pytest.mark.usefixtures("connected")
def test_a_task_in_a_dask_thread_calls_an_actor_wherever_it_is() -> None:
    stores = [Store.start() for _ in range(2)]
    for store in stores:
        store.put(b"1234").result(DEADLINE)

    def sizes(handles: list[Any]) -> list[int]:
        return [len(handle.get().result()) for handle in handles]

    assert cm.submit(sizes, stores).result(DEADLINE) == [4, 4]
