"""`%mesh scale` asks the cluster object for workers, and the mesh follows; `%mesh` lists who there is."""

from __future__ import annotations

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
