"""`%mesh scale` asks the cluster object for workers, and the mesh follows; `%mesh` lists who there is."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster
from IPython.core.error import UsageError

import cellmesh as cm
from cellmesh.kernel import attaching, mesh_magic
from cellmesh.kernel.session import Session


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as started:
        yield started


@pytest.fixture
def session(cluster: LocalCluster) -> Iterator[Session]:
    cm.connect("dask", cluster)
    yield attaching.current()
    cm.connect("inline")


def test_the_cluster_grows_and_shrinks_and_the_mesh_with_it(
    session: Session, cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    session.ensure_mesh()
    assert len(session.workers) == 1
    mesh_magic.run(None, "scale 3")
    assert len(cluster.scheduler.workers) == 3
    assert len({worker.pid for worker in session.workers}) == 3
    assert "the mesh has 3 workers" in capsys.readouterr().out
    mesh_magic.run(None, "scale 1")
    assert len(cluster.scheduler.workers) == 1
    assert [worker.number for worker in session.workers] == [0]
    assert cm.submit(pow, 2, 10).result(30) == 1024


def test_connecting_is_told_once(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    mesh_magic.run(None, f"connect dask {client.scheduler.address}")
    try:
        shown = capsys.readouterr()
        assert (shown.out + shown.err).count("connected to") == 1
    finally:
        cm.connect("inline")


def test_it_can_be_left_to_dask(session: Session, cluster: LocalCluster) -> None:
    mesh_magic.run(None, "scale 1..2")
    assert (cluster._adaptive.minimum, cluster._adaptive.maximum) == (1, 2)
    assert cm.map(pow, range(20), [2] * 20).result(30)[-1] == 361
    mesh_magic.run(None, "scale 1")  # and taken back
    assert len(cluster.scheduler.workers) == 1


def test_who_gave_only_an_address_is_told_what_to_do(client: Client) -> None:
    cm.connect("dask", client.scheduler.address)
    try:
        with pytest.raises(UsageError, match=r"only the address .* dask worker tcp://"):
            mesh_magic.run(None, "scale 3")
    finally:
        cm.connect("inline")


def sleep() -> None:
    for _ in range(600):
        time.sleep(0.1)


def test_who_connects_is_told_what_there_is(
    cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cm.connect("dask", cluster)
    address = cluster.scheduler_address
    assert f"connected to Dask at {address}: 1 host, 1 worker, 1 thread\n" in capsys.readouterr().err
    cm.connect("inline")


def test_mesh_shows_hosts_workers_and_what_runs_there(session: Session, cluster: LocalCluster) -> None:
    session.ensure_mesh(2)
    running = cm.submit(sleep)
    (worker,) = cluster.scheduler.workers.values()
    view = mesh_magic.run(None, "")
    while "1 task" not in repr(view):
        view = mesh_magic.run(None, "")
    rows = view.rows
    assert rows.head.startswith(f"cellmesh on Dask at {cluster.scheduler_address}: 1 host, 1 worker, ")
    (host,) = rows.hosts
    assert (host.host, host.worker, host.threads) == (socket.gethostname(), str(worker.name), 1)
    assert host.runs == "mesh 0-1, 1 task"
    assert [job.kind for job in rows.jobs] == ["submit"]
    assert "Dask worker" in view._repr_html_()
    running.cancel()


def test_gpus_are_those_that_workers_declare() -> None:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, resources={"GPU": 2}, dashboard_address=":0"
    ) as cluster:
        cm.connect("dask", cluster)
        engine = attaching.current().engine
        assert len(engine.capacity().gpus) == 4
        assert [each.resources for each in engine.status().hosts] == [{"GPU": 2}] * 2
        with pytest.raises(ValueError, match="gpus=5"):
            cm.submit(pow, 2, 3, gpus=5)
        cm.connect("inline")
