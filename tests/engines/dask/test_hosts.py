"""A host that dies with all that was beside its Dask worker: mesh workers, a running cell, an actor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conformance.recording import DEADLINE, Desk
from distributed import Client

import cellmesh as cm
from cellmesh.kernel import attaching
from cellmesh.kernel.actors.errors import ActorDied
from cellmesh.scheduler.engines.dask.engine import DaskEngine

Hosts = dict[str, subprocess.Popen[Any]]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Client, Hosts]]:
    """A scheduler and two Dask workers without nannies; a client of them."""
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file)]
    with ExitStack() as stack:

        def start(module: str, *options: str) -> subprocess.Popen[Any]:
            command = [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1"]
            quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen([*command, *common, *options], **quiet)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        start("dask_scheduler", "--port", "0", "--dashboard-address", ":0")
        end = time.monotonic() + DEADLINE
        while not file.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]
        workers = {name: start("dask_worker", "--name", name, *options) for name in ("a", "b")}
        with Client(scheduler_file=str(file), set_as_default=False, timeout=20) as client:
            client.wait_for_workers(2, timeout=DEADLINE)
            yield client, workers


def kill(client: Client, workers: Hosts, address: str) -> None:
    """The Dask worker at this address, and with it its host."""
    name = client.sync(client.scheduler.identity, n_workers=-1)["workers"][address]["name"]
    workers[name].kill()


def test_mesh_workers_begin_anew_elsewhere_and_their_cells_are_lost(hosts: tuple[Client, Hosts]) -> None:
    client, workers = hosts
    engine = DaskEngine(client)
    desk = Desk(engine, "a lost host")
    before = {worker.number: worker.id for worker in desk.mesh(2)}
    desk.cell("kept = 'here'", worker=0)
    desk.cell("kept = 'there'", worker=1)
    assert [worker.state for worker in engine.status().sessions[0].mesh] == ["idle", "idle"]
    task = desk.cell_task("print('begun')\nimport time\ntime.sleep(60)", worker=0)
    job = desk.launch("cell", [task])
    desk.told.wait(lambda: desk.told.text(job) == "begun\n", "its beginning")
    host = engine._fleet.place(0)
    assert host is not None
    kill(client, workers, host.address)
    assert desk.told.wait_settled(job, 1) == {0: "lost"}
    assert "is gone" in desk.told.whys(job)[0]

    def renewed() -> bool:
        after = {w.number: w for w in desk.told.mesh()}
        return len(after) == 2 and after[0].id != before[0] and {w.state for w in after.values()} == {"idle"}

    desk.told.wait(renewed, "mesh of two")
    assert desk.value(desk.cell("'kept' in globals()", worker=0)) is False
    assert desk.value(desk.cell("kept", worker=1)) == "there"
    assert any(
        call[0] == "notice" and "its mesh worker starts on another" in call[1] for call in desk.told.calls
    )
    engine.close(end_session=True)


def test_an_actor_is_gone_with_its_host_and_another_can_be_started(hosts: tuple[Client, Hosts]) -> None:
    client, workers = hosts
    cm.connect("dask", client)

    @cm.actor
    class Counter:
        def pid(self) -> int:
            return os.getpid()

    first = Counter.start()
    first.pid().result(DEADLINE)
    engine: Any = attaching.current().engine
    (host,) = engine._fleet.hosts.values()
    kill(client, workers, host.address)
    with pytest.raises(ActorDied):
        first.pid().result(DEADLINE)
    second = Counter.start()
    assert second.pid().result(DEADLINE) > 0
    assert cm.submit(pow, 2, 3).result(DEADLINE) == 8
    cm.connect("inline")
