"""A cluster that is closed while a notebook works on it."""

from __future__ import annotations

import time

import pytest
from conformance.recording import DEADLINE
from distributed import LocalCluster

import cellmesh as cm
from cellmesh.scheduler.engines.contract import EngineError


def test_a_cluster_that_ends_is_said_once_and_is_not_replaced_by_itself() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        cm.connect("dask", cluster)
        assert cm.submit(pow, 2, 3).result() == 8
        waiting = cm.submit(time.sleep, 60)
        cluster.close()
        with pytest.raises(EngineError, match="has ended"):
            waiting.result(DEADLINE)
        with pytest.raises(EngineError, match=r"has ended.*cm\.connect\('embedded'\)"):
            cm.submit(pow, 2, 3)
        cm.connect("inline")
        assert cm.submit(pow, 2, 3).result() == 8
