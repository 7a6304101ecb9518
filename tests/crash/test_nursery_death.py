"""kill -9 for the nursery: everything ends, the kernel says so once, and the next use starts anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.killing import kill, outcome, reached

import cellmesh as cm
from cellmesh.kernel import attaching
from cellmesh.scheduler.engines.contract import EngineError
from tests.support import leftovers


def sleeping(mark: Path) -> None:
    import time

    mark.touch()
    time.sleep(1000)


def test_everything_ends_with_the_nursery_and_a_new_pool_starts(
    runtime: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cm.start(1)
    first = attaching.current()
    futures = [cm.submit(sleeping, tmp_path / f"{x}") for x in range(3)]
    reached(tmp_path / "0")
    pids = [process.pid for process in leftovers.processes(runtime)]
    kill(first.engine.status().nursery)
    errors = [outcome(lambda one=future: one.result(30)) for future in futures]
    assert leftovers.wait_until_gone(pids) == []
    for error in errors:
        assert isinstance(error, EngineError)
        assert "has ended" in str(error)
        assert "Run the cell again" in str(error)
    assert leftovers.files(runtime) == []
    told = [line for line in capfd.readouterr().err.splitlines() if "has ended" in line]
    assert len(told) == 1
    assert cm.submit(abs, -3).result(30) == 3
    second = attaching.current()
    assert second is not first
    pids = [process.pid for process in leftovers.processes(runtime)]
    second.close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []
