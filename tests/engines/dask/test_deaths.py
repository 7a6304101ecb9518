"""Dask workers that are killed, and what becomes of what ran there, waited there or lay there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from conformance.recording import DEADLINE
from engines.dask.pooling import Table


def begins(folder: Path, name: str) -> int:
    """How often something of this name has begun."""
    return len([path for path in folder.iterdir() if path.name.split("-")[0] == name])


def killing(folder: str, name: str, times: int) -> str:
    """Note that it has begun; kill the process the first so many times, once that is known."""
    begun = sum(path.name.split("-")[0] == name for path in Path(folder).iterdir())
    Path(folder, f"{name}-{begun}").touch()
    if begun < times:
        print("begun")
        while not Path(folder, f"known-{name}-{begun}").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def let_die(table: Table, job: int, folder: Path, name: str, times: int) -> None:
    """It is known so many times that it has begun."""
    for begun in range(times):
        table.told.wait(lambda begun=begun: len(table.told.outputs(job)) > begun, f"beginning {begun}")
        (folder / f"known-{name}-{begun}").touch()


def test_a_task_whose_worker_dies_runs_again_elsewhere(table: Table, tmp_path: Path) -> None:
    job = table.launch([table.task(killing, str(tmp_path), "a", 1, retries=1)], "submit")
    let_die(table, job, tmp_path, "a", 1)
    assert table.told.wait_settled(job, 1) == {0: "done"}
    assert begins(tmp_path, "a") == 2


def test_a_task_that_kills_its_workers_is_lost_when_its_retries_are_used_up(
    table: Table, tmp_path: Path
) -> None:
    given = {"none": 0, "two": 2}
    jobs = {
        name: table.launch([table.task(killing, str(tmp_path), name, 99, retries=retries)], "submit")
        for name, retries in given.items()
    }
    others = table.launch(table.each(abs, range(40), 1, retries=2))
    for name, retries in given.items():
        let_die(table, jobs[name], tmp_path, name, retries + 1)
    assert set(table.told.wait_settled(others, 40).values()) == {"done"}
    for name, job in jobs.items():
        assert table.told.wait_settled(job, 1) == {0: "lost"}
        assert "died while it ran" in table.told.whys(job)[0]
        assert begins(tmp_path, name) == given[name] + 1


def test_a_lost_chunk_runs_only_its_unreported_items_again(table: Table, tmp_path: Path) -> None:
    folder = str(tmp_path)

    def once(x: int) -> int:
        began = len([name for name in os.listdir(folder) if name.startswith(f"{x}-")])
        open(os.path.join(folder, f"{x}-{began}"), "x").close()
        if x == 1 and not began:
            while not os.path.exists(os.path.join(folder, "reported")):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    job = table.launch(table.each(once, [0, 1, 2], 3, retries=1))
    table.told.wait(lambda: table.told.raw(job), "report of the first item")
    (tmp_path / "reported").touch()  # only now may the second item die with its worker
    assert table.told.wait_settled(job, 1) == {0: "done"}
    assert table.told.values(job) == {(0, n): n for n in range(3)}
    assert [begins(tmp_path, str(n)) for n in range(3)] == [1, 2, 1]


def test_a_large_result_that_died_with_its_worker_is_made_again(table: Table, tmp_path: Path) -> None:
    def large(folder: str) -> bytes:
        Path(folder, str(os.getpid())).touch()
        return b"x" * 1_000_000

    job = table.call(large, str(tmp_path))
    (first,) = tmp_path.iterdir()
    os.kill(int(first.name), signal.SIGKILL)
    end = time.monotonic() + DEADLINE
    while len(list(tmp_path.iterdir())) == 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert table.value(job) == b"x" * 1_000_000
    assert table.told.states(job) == {0: "done"}
