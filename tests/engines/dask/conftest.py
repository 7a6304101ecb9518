"""A real cluster for the tests of a module, and a session on it for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster
from engines.dask.pooling import Table

from cellmesh.scheduler.engines.dask.plugin import Plugin


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Dask leaves OMP_NUM_THREADS=1 in ours, which workers of other tests would heed."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


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
    """A session on a Dask worker of four threads in this very process."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=4, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as connected,
    ):
        connected.register_plugin(Plugin())
        opened = Table(connected)
        yield opened
        opened.close()
