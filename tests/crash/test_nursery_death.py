"""kill -9 for the nursery: everything ends, the kernel says so once, and the next use starts anew."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
from crash.killing import kill, outcome, reached
from support import kernels

import cellmesh as cm
from cellmesh.kernel import attaching
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.wire import folders
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


def test_a_kernel_that_was_asleep_lets_the_next_hub_of_that_name_alone(runtime: Path, tmp_path: Path) -> None:
    """It wakes up to a hub at the old address, which knows nothing of it: what it waited for is lost."""
    folder = ensure_hub("again")
    code = (
        "import time\n"
        f"mark = pathlib.Path({str(tmp_path)!r})\n"
        "def long(): (mark / 'runs').touch(); time.sleep(1000)\n"
        "future = cm.submit(long)\n"
        "error = future.exception(60)\n"
        "(mark / 'new').write_text(f'{type(error).__name__}: {error}')\n"
        "(mark / 'new').rename(mark / 'told')\n"
        "time.sleep(1000)\n"
    )
    kernel = kernels.start(folder, "book", code)
    try:
        reached(tmp_path / "runs")
        kill(kernel.pid, signal.SIGSTOP)
        hub = folders.read_connection(folder).pid
        pids = [process.pid for process in leftovers.processes(runtime)]
        nursery = psutil.Process(hub).ppid()
        kill(hub, signal.SIGSTOP)  # or it would sweep up after the nursery, and that is another story
        kill(nursery)
        kill(hub)
        assert leftovers.wait_until_gone(pids) == []
        assert ensure_hub("again") == folder
        session = kernels.attach(folder, "book")
        kill(kernel.pid, signal.SIGCONT)
        reached(tmp_path / "told")
        assert "has ended" in (tmp_path / "told").read_text()
        assert cm.submit(abs, -3).result(30) == 3
        assert [one.id for one in session.engine.status().sessions] == ["book"]
        session.close(end_session=True)
    finally:
        kill(kernel.pid)
        kernel.communicate()
