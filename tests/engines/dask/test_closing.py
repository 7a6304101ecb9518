"""A cluster that is closed while a notebook works on it."""

from __future__ import annotations

import subprocess
import sys
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


SCRIPT = """
import os, sys
import cellmesh as cm

@cm.actor
class Counter:
    def __init__(self):
        self.count = 0
    def add(self):
        self.count += 1
        return self.count

cm.connect("dask", sys.argv[1])
print(Counter.start().add().result())
"""


def test_a_script_that_ends_leaves_its_hosts_and_says_nothing() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        command = [sys.executable, "-c", SCRIPT, cluster.scheduler_address]
        script = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
        assert (script.returncode, script.stdout) == (0, "1\n"), script.stderr
        assert "Traceback" not in script.stderr, script.stderr
