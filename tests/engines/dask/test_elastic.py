"""Workers that come and go while a map runs: Dask adapts to its load, retires some, restarts all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conformance.recording import DEADLINE, Desk
from distributed import Client, LocalCluster
from engines.dask.pooling import Table

from cellmesh.scheduler.engines.dask.engine import DaskEngine


@pytest.fixture
def adaptive() -> Iterator[Client]:
    """One to three workers, as Dask finds right."""
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.adapt(minimum=1, maximum=3, interval="100ms", wait_count=2)
        yield client


def until(ready: Callable[[], object], what: str) -> None:
    """Wait for what nobody tells."""
    end = time.monotonic() + DEADLINE
    while not ready():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.02)


def workers(client: Client) -> set[str]:
    """The addresses of those that there are."""
    return set(client.sync(client.scheduler.identity, n_workers=-1)["workers"])


def crowded(folder: str, x: int, wanted: int) -> tuple[int, int]:
    """Waits until so many processes are at work."""
    Path(folder, str(os.getpid())).touch()
    print("item", x)
    while len(os.listdir(folder)) < wanted:
        time.sleep(0.01)
    return x, os.getpid()


def test_a_map_on_a_cluster_that_grows_and_shrinks_under_it(adaptive: Client, tmp_path: Path) -> None:
    table = Table(adaptive)
    folder = str(tmp_path)
    job = table.launch(table.each(lambda x: crowded(folder, x, 3), range(60), 2))
    assert set(table.told.wait_settled(job, 30, 2 * DEADLINE).values()) == {"done"}
    values = [value for _, value in sorted(table.told.values(job).items())]
    assert [x for x, _ in values] == list(range(60))
    assert len({pid for _, pid in values}) >= 3, "those that joined were given work"
    assert sorted(table.told.text(job).splitlines()) == sorted(f"item {x}" for x in range(60))
    table.pool.claim(job, None)
    until(lambda: len(workers(adaptive)) == 1, "shrinking")
    again = table.launch(table.each(abs, range(-10, 0), 1))
    table.told.wait_settled(again, 10)
    assert [value for _, value in sorted(table.told.values(again).items())] == list(range(10, 0, -1))
    table.close()


def slow(folder: str, x: int) -> int:
    print("item", x)
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.01)
    return x


def large(x: int) -> bytes:
    return bytes([x]) * 1_000_000


def test_what_lies_and_runs_on_a_retired_worker_is_found_elsewhere(client: Client, tmp_path: Path) -> None:
    table = Table(client)
    folder = str(tmp_path)
    kept = table.launch(table.each(large, range(4), 1))
    table.told.wait_settled(kept, 4)
    job = table.launch(table.each(lambda x: slow(folder, x), range(6), 1))
    table.told.wait(lambda: len(table.told.outputs(job)) == 2, "beginning of two others")
    (address,) = client.retire_workers([min(workers(client))])
    until(lambda: address not in workers(client), "retirement")
    (tmp_path / "go").touch()
    assert set(table.told.wait_settled(job, 6).values()) == {"done"}
    assert table.told.values(job) == {(x, 0): x for x in range(6)}
    assert table.told.values(kept) == {(x, 0): large(x) for x in range(4)}
    table.close()


def test_a_cluster_that_is_restarted_runs_what_was_not_done(client: Client, tmp_path: Path) -> None:
    table = Table(client)
    folder = str(tmp_path)
    job = table.launch(table.each(lambda x: slow(folder, x), range(6), 1))
    table.told.wait(lambda: table.told.outputs(job), "beginning")
    client.restart(timeout=DEADLINE)
    (tmp_path / "go").touch()
    assert set(table.told.wait_settled(job, 6).values()) == {"done"}
    assert table.told.values(job) == {(x, 0): x for x in range(6)}
    table.close()


def test_who_waits_for_workers_of_which_there_are_none_is_told() -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        table = Table(client)
        table.call(abs, -1)
        cluster.scale(0)
        until(lambda: not workers(client), "leaving")
        job = table.launch([table.task(abs, -2)], "submit")
        table.told.wait(
            lambda: any(call[0] == "notice" and "no workers" in call[1] for call in table.told.calls), "word"
        )
        cluster.scale(1)
        table.told.wait_settled(job, 1)
        assert table.value(job) == 2
        table.close()


def test_the_mesh_keeps_its_workers_and_others_go() -> None:
    with (
        LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        desk = Desk(DaskEngine(client), "kept")
        desk.mesh(2)
        fleet = desk.engine._fleet  # type: ignore[attr-defined]
        kept = set(fleet.hosts)
        assert len(kept) == 2
        cluster.adapt(minimum=0, maximum=3, interval="100ms", wait_count=2)
        until(lambda: workers(client) == kept, "shrinking to those of the mesh")
        assert desk.value(desk.cell("import time\ntime.sleep(1)\n'here'", worker=1)) == "here"
        assert workers(client) == kept
        desk.engine.set_mesh(0)
        until(lambda: not workers(client), "shrinking to none")
        desk.engine.close(end_session=True)
