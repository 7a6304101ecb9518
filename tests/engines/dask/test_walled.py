"""A notebook that reaches only the scheduler, as behind a firewall or outside a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance.recording import DEADLINE, Desk
from distributed import Client
from engines.dask.hosts_net import Net, why_not
from msgspec.structs import replace

import cellmesh as cm
from cellmesh.scheduler.engines.dask.engine import DaskEngine
from cellmesh.scheduler.engines.dask.notebook.ways import ways

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Two workers on hosts of their own; packets of the notebook to these are dropped."""
    net = Net(tmp_path_factory.mktemp("net"), walled=True)
    try:
        net.start_scheduler()
        for host in ("a", "b"):
            net.start_worker(host)
        with net.client() as client:
            yield client
    finally:
        net.close()


def test_cells_speak_stop_and_keep_their_names(walled: Client) -> None:
    engine = DaskEngine(walled)
    desk = Desk(engine, "behind a wall")
    assert [worker.number for worker in desk.mesh(2)] == [0, 1]
    say = "print('hello'); kept = 7"
    tasks = [replace(desk.cell_task(say, worker=number), index=number) for number in (0, 1)]
    job = desk.launch("cell", tasks)
    assert desk.told.wait_settled(job, 2) == {0: "done", 1: "done"}
    assert desk.told.text(job) == "hello\nhello\n"
    assert desk.value(desk.cell("kept", worker=1)) == 7
    (name,) = desk.captured({"data": bytes(5_000_000) + b"end"}, "data")
    assert desk.value(desk.cell("data[-3:], len(data)", worker=1, names=(name,))) == (b"end", 5_000_003)
    job = desk.launch("cell", [desk.cell_task("print('on')\nimport time\ntime.sleep(60)", worker=0)])
    desk.told.wait(lambda: desk.told.text(job) == "on\n", "its beginning")
    engine.cancel(job)
    assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    assert not walled.sync(ways(walled).straight)
    engine.close(end_session=True)


def test_maps_actors_and_large_objects_go_through_the_scheduler(walled: Client) -> None:
    @cm.actor
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self, data: bytes) -> int:
            self.n += len(data)
            return self.n

    cm.connect("dask", walled, insecure=True)
    try:
        big = bytes(range(256)) * 40_000
        there = cm.put(big)
        assert cm.map(lambda data: data[-1], [there] * 4).result(DEADLINE) == [255] * 4
        assert cm.submit(lambda data: data * 2, there).result(DEADLINE) == big * 2
        counter = Counter.start()
        assert counter.add(big).result(DEADLINE) == len(big)
        assert counter.add(b"one").result(DEADLINE) == len(big) + 3
    finally:
        cm.connect("inline")
