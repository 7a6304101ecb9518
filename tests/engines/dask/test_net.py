"""Several hosts with networks of their own: cells over all of them; one that is cut off, drained, killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk
from distributed import Client
from engines.dask.hosts_net import Net, why_not
from engines.dask.test_actor_moves import polled, saved, worker_of
from hub.acting import Counter, local, start
from msgspec.structs import replace

from cellmesh.scheduler.engines.dask.engine import DaskEngine
from cellmesh.scheduler.wire.actors import ActorInfo

LOST_SECONDS = 90.0
"""What Dask takes to notice a cut cable, and much more for a machine that has other things to do."""

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    """A scheduler, and workers on the hosts a and b."""
    made = Net(tmp_path)
    try:
        made.start_scheduler()
        for host in ("a", "b"):
            made.start_worker(host)
        yield made
    finally:
        made.close()


@pytest.fixture
def client(net: Net) -> Iterator[Client]:
    with net.client() as connected:
        yield connected


@pytest.fixture
def desk(client: Client) -> Iterator[Desk]:
    """A session with a mesh worker on each of the two."""
    opened = Desk(DaskEngine(client), "over hosts")
    opened.mesh(2)
    yield opened
    opened.engine.close(end_session=True)


def host_of(address: str) -> str:
    """The host of this Dask worker."""
    return {"11": "a", "12": "b"}[address.rpartition(":")[0].rpartition(".")[2]]


def name_of(desk: Desk, number: int) -> str:
    """The host of a mesh worker."""
    engine = desk.engine
    assert isinstance(engine, DaskEngine)
    host = engine._fleet.place(number)
    assert host is not None
    return host_of(host.address)


def test_a_cell_on_all_hosts_speaks_and_stops(desk: Desk) -> None:
    assert {name_of(desk, 0), name_of(desk, 1)} == {"a", "b"}
    source = "import time\nprint('on')\ntime.sleep(60)"
    tasks = [replace(desk.cell_task(source, worker=number), index=number) for number in (0, 1)]
    job = desk.launch("cell", tasks)
    desk.told.wait(lambda: desk.told.text(job) == "on\non\n", "both to begin")
    desk.engine.cancel(job)
    assert desk.told.wait_settled(job, 2) == {0: "cancelled", 1: "cancelled"}
    assert desk.value(desk.cell("'still here'", worker=1)) == "still here"


def slow(number: int) -> int:
    time.sleep(0.5)
    return number * number


def lost(desk: Desk, end: str, net: Net, client: Client) -> None:
    """A cell and a map run on both hosts; one of them goes: the cell is told, the map ends, all goes on."""
    before = {worker.number: worker.id for worker in desk.told.mesh()}
    cell = desk.launch("cell", [desk.cell_task("print('on')\nimport time\ntime.sleep(600)", worker=0)])
    work = desk.launch("map", desk.map_tasks(slow, range(12), chunk=1, retries=2))
    desk.told.wait(lambda: desk.told.text(cell) == "on\n" and len(desk.told.values(work)) > 2, "both to run")
    host = name_of(desk, 0)
    other = name_of(desk, 1)
    if end == "cut":
        net.cut(host)
    elif end == "kill":
        net.processes[host].kill()
    else:
        client.retire_workers(names=[host])
    assert desk.told.wait_settled(cell, 1, LOST_SECONDS) == {0: "lost"}
    assert "is gone" in desk.told.whys(cell)[0]
    desk.told.wait_settled(work, 12, LOST_SECONDS)
    assert desk.told.values(work) == {(task, 0): task * task for task in range(12)}

    def renewed() -> bool:
        after = {w.number: w for w in desk.told.mesh()}
        return len(after) == 2 and after[0].id != before[0] and {w.state for w in after.values()} == {"idle"}

    desk.told.wait(renewed, "a mesh of two", LOST_SECONDS)
    assert name_of(desk, 0) == name_of(desk, 1) == other
    assert desk.value(desk.cell("6 * 7", worker=0)) == 42


@pytest.mark.parametrize("end", ["cut", "kill", "drain"])
def test_work_moves_from_a_host_that_goes(desk: Desk, end: str, net: Net, client: Client) -> None:
    lost(desk, end, net, client)


def test_an_actor_of_a_host_that_is_cut_off_goes_on_from_its_checkpoint(
    desk: Desk, net: Net, client: Client
) -> None:
    first = start(desk, Counter, 5, name="llm", restarts=1)
    assert local(desk, first, "add", 1) == 6
    saved(desk, client, first, polled)
    before = host_of(worker_of(client, first.id))
    net.cut(before)

    def back() -> list[ActorInfo]:
        return [each for each in desk.told.actors(first.id) if (each.state, each.incarnation) == ("alive", 2)]

    desk.told.wait(back, "its return", LOST_SECONDS)
    assert {before, host_of(worker_of(client, first.id))} == {"a", "b"}
    assert local(desk, back()[-1], "add", 1) == 7
