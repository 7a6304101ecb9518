"""A scheduler whose connection breaks, and one that is killed."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance.recording import DEADLINE
from distributed import Client
from engines.dask.pooling import Table
from engines.dask.relaying import Relay

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.worker.plugin import Plugin


def noted(folder: str, n: int) -> int:
    """Note each run; wait for the word to go on."""
    Path(folder, f"{n}-{uuid.uuid4().hex}").touch()
    print("begun")
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return n


def test_work_goes_on_while_the_connection_is_lost_and_nothing_runs_twice(
    client: Client, tmp_path: Path
) -> None:
    with Client(client.scheduler.address, set_as_default=False) as ours:
        table = Table(ours, grace=60)
        job = table.launch([table.task(noted, str(tmp_path), n, index=n) for n in range(6)])
        table.told.wait(lambda: table.told.outputs(job), "beginning")
        before = ours.scheduler_comm
        ours.loop.add_callback(before.comm.abort)
        until(lambda: ours.scheduler_comm not in (None, before) and ours.status == "running")
        goes_on(table, job, tmp_path)


def test_a_connection_whose_end_the_scheduler_notices_after_there_is_a_new_one(
    client: Client, tmp_path: Path
) -> None:
    with (
        Relay(client.scheduler.address) as relay,
        Client(relay.address, set_as_default=False) as ours,
    ):
        table = Table(
            ours, grace=0.5
        )  # which is over soon, if the end of the old one is taken for that of the new
        job = table.launch([table.task(noted, str(tmp_path), n, index=n) for n in range(6)])
        table.told.wait(lambda: table.told.outputs(job), "beginning")
        before = ours.scheduler_comm
        lost = relay.cut()
        until(lambda: ours.scheduler_comm not in (None, before) and ours.status == "running")
        until(lambda: client.run_on_scheduler(wanted, ours.id) >= 6)
        relay.notice(lost)
        goes_on(table, job, tmp_path)
        assert len([call for call in table.told.calls if call[0] == "notice"]) <= 1, "it is lost once"


def until(ready: Callable[[], bool]) -> None:
    """Wait for what nobody tells."""
    end = time.monotonic() + DEADLINE
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.01)


def wanted(name: str, dask_scheduler: Any) -> int:
    """In the scheduler: how many tasks a client wants."""
    return len(dask_scheduler.clients[name].wants_what) if name in dask_scheduler.clients else 0


def goes_on(table: Table, job: int, folder: Path) -> None:
    """The six tasks are told of, once each, and the next."""
    (folder / "go").touch()
    assert set(table.told.wait_settled(job, 6).values()) == {"done"}
    assert [value for _, value in sorted(table.told.values(job).items())] == list(range(6))
    assert len(list(folder.iterdir())) == 7, "each ran once"
    assert table.value(table.call(abs, -1)) == 1
    table.close()


def test_a_scheduler_that_is_killed_ends_everything_in_words(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file)]
    with started("dask_scheduler", "--port", "0", "--dashboard-address", ":0", *common) as scheduler:
        until(file.exists)
        with started("dask_worker", "--nthreads", "1", "--no-dashboard", *common) as worker:
            with Client(scheduler_file=str(file), set_as_default=False, timeout=20) as client:
                client.wait_for_workers(1, timeout=DEADLINE)
                client.register_plugin(Plugin())
                client._timeout = 1  # for connecting again
                table = Table(client)
                job = table.launch([table.task(noted, str(tmp_path), n, index=n) for n in range(3)])
                table.told.wait(lambda: table.told.outputs(job), "beginning")
                scheduler.kill()
                assert set(table.told.wait_settled(job, 3).values()) == {"lost"}
                assert "has ended" in table.told.whys(job)[0]
                assert any(call[0] == "lost" for call in table.told.calls)
                with pytest.raises(EngineError, match="has ended"):
                    table.launch([table.task(abs, -1)])
                table.close()
            worker.kill()


def started(module: str, *options: str) -> subprocess.Popen[Any]:
    """One of Dask's own programs."""
    command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
