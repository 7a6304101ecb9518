"""A real cluster for the tests of a module, and a session on it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import dask
import pytest
from distributed import Client, LocalCluster
from engines.dask.pooling import Table

from cellmesh.scheduler.engines.dask.worker.plugin import Plugin


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Else Dask sets OMP_NUM_THREADS=1 in this process, and workers of other tests would heed that.

    And a cluster gives a worker up for good that is just not there 15 s after it was killed, though it had
    come back meanwhile and was killed once more.
    """
    with dask.config.set(
        {"distributed.nanny.pre-spawn-environ": {}, "distributed.deploy.lost-worker-timeout": "1 hour"}
    ):
        yield


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two Dask workers of one thread each, in processes of their own."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as connected,
    ):
        connected.register_plugin(Plugin())
        yield connected


@pytest.fixture
def table(client: Client) -> Iterator[Table]:
    opened = Table(client)
    yield opened
    opened.close()


@pytest.fixture
def threads() -> Iterator[Table]:
    """A session on a Dask worker of four threads and 4 GB in this very process."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, memory_limit=4e9, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster, set_as_default=False) as connected,
    ):
        connected.register_plugin(Plugin())
        opened = Table(connected)
        yield opened
        opened.close()
