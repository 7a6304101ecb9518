"""A cluster that is closed while a notebook works on it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from typing import Any

import pytest
from conformance.recording import DEADLINE
from distributed import Client, LocalCluster

import cellmesh as cm
from cellmesh.kernel import attaching
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
from cellmesh.kernel import attaching

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


class Records(logging.Handler):
    """What Dask finds worth a warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def held(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.tasks)


def test_who_leaves_leaves_nothing_that_dask_would_warn_of() -> None:
    records = Records()
    log = logging.getLogger("distributed")
    log.addHandler(records)
    try:
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            cm.connect("dask", client)
            cm.start(workers=2)
            a = cm.submit(pow, 2, 10)
            assert cm.submit(lambda x: x - 1, a).result(DEADLINE) == 1023
            with pytest.raises(ZeroDivisionError):
                cm.map(lambda x: 1 / x, [1, 0]).result(DEADLINE)
            del a
            attaching.current().close(end_session=False)  # as a notebook that has a grace time
            end = time.monotonic() + DEADLINE
            while client.run_on_scheduler(held):
                assert time.monotonic() < end
                time.sleep(0.05)
    finally:
        log.removeHandler(records)
        cm.connect("inline")
    assert records.messages == []
