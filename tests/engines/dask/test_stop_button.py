"""Jupyter's Stop in a notebook that has a `LocalCluster` of its own: its SIGINT goes to all of the kernel's
process group, and the cluster's workers are in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import DEADLINE

from tests.kernel.conftest import Kernel, started

CONNECT = """
%load_ext cellmesh
import os, pathlib, time
import dask
import cellmesh as cm
from distributed import LocalCluster
dask.config.set({"distributed.nanny.pre-spawn-environ": {}})
cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
cm.connect("dask", cluster)

def spin(n):
    pathlib.Path(f"begun-{n}").touch()
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with started("embedded", tmp_path) as running:
        running.ok(CONNECT)
        yield running
        running.ok("cm.connect('inline')\ncluster.close()")


def stopped(kernel: Kernel, folder: Path, code: str, begun: int) -> None:
    """A busy cell, and Stop once so many calls run."""
    cell = kernel.start(code)
    end = time.monotonic() + DEADLINE
    while len(list(folder.glob("begun-*"))) < begun:
        assert time.monotonic() < end
        time.sleep(0.02)
    kernel.interrupt()
    assert kernel.finish(cell).error.startswith("KeyboardInterrupt")
    for path in folder.glob("begun-*"):
        path.unlink()


def test_it_ends_what_the_cell_launched_and_the_cluster_lives(kernel: Kernel, tmp_path: Path) -> None:
    kernel.ok("%%distributed\nkept = 'still here'")
    before = kernel.ok("sorted(cluster.scheduler.workers)").result
    stopped(kernel, tmp_path, "cm.map(spin, range(4)).result()", 1)
    assert kernel.ok("sorted(cluster.scheduler.workers)").result == before
    assert kernel.ok("cm.map(pow, range(4), [2] * 4).result()").result == "[0, 1, 4, 9]"
    assert "still here" in kernel.ok("%%distributed\nprint(kept)").stdout
    kernel.ok("cluster.scale(2)\ncluster.wait_for_workers(2)")  # one that has joined later
    grown = kernel.ok("sorted(cluster.scheduler.workers)").result
    stopped(kernel, tmp_path, "cm.map(spin, range(4)).result()", 2)
    assert kernel.ok("sorted(cluster.scheduler.workers)").result == grown
    assert kernel.ok("cm.map(pow, range(4), [2] * 4).result()").result == "[0, 1, 4, 9]"


def test_a_cell_on_its_mesh_is_stopped_and_keeps_its_names(kernel: Kernel, tmp_path: Path) -> None:
    kernel.ok("%%distributed\nkept = 'still here'")
    busy = "%%distributed\nimport pathlib\npathlib.Path('begun-0').touch()\nwhile 1: pass"
    stopped(kernel, tmp_path, busy, 1)
    assert "still here" in kernel.ok("%%distributed\nprint(kept)").stdout
