"""Tasks with `isolate=True`: in a process of their own beside the Dask worker, with what that is worth."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

from distributed import Client
from engines.dask.pooling import Table

import cellmesh as cm
from cellmesh.kernel.tracking import track


def test_it_runs_beside_the_dask_worker_and_tells_all_as_there(table: Table, client: Client) -> None:
    def work(x: int) -> tuple[int, int]:
        print("item", x)
        for _ in track(range(3), label="steps"):
            pass
        return x, os.getpid()

    job = table.launch(table.each(work, range(6), 3, isolate=True, retries=2))
    assert set(table.told.wait_settled(job, 2).values()) == {"done"}
    values = [value for _, value in sorted(table.told.values(job).items())]
    assert [x for x, _ in values] == list(range(6))
    dask_workers = set(client.run(os.getpid).values())
    assert not {pid for _, pid in values} & {*dask_workers, os.getpid()}
    assert sorted(table.told.text(job).splitlines()) == [f"item {x}" for x in range(6)]
    assert {call[1].text for call in table.told.calls if call[0] == "progress"} == {"steps"}


def test_large_arguments_results_and_functions_go_there_and_back(table: Table) -> None:
    ballast = os.urandom(200_000)
    data = os.urandom(1_000_000)
    made = table.call(lambda: data)

    def turned(given: bytes) -> bytes:
        return given[::-1] + ballast

    job = table.call(turned, os.urandom(10), isolate=True)
    assert table.value(job).endswith(ballast)
    assert table.told.states(made) == {0: "done"}
    again = table.call(turned, table.value(made), isolate=True)
    assert table.value(again) == data[::-1] + ballast


def test_stop_reaches_a_call_that_blocks(table: Table) -> None:
    def blocked() -> None:
        print("begun", flush=True)
        time.sleep(1000)

    job = table.launch([table.task(blocked, isolate=True)], "submit")
    table.told.wait(lambda: table.told.outputs(job), "its beginning")
    table.cancel(job)
    assert table.told.wait_settled(job, 1) == {0: "cancelled"}
    after = table.launch([table.task(abs, -n, index=n) for n in range(2)])
    assert set(table.told.wait_settled(after, 2).values()) == {"done"}


def test_a_crash_is_told_as_on_one_machine_and_the_dask_worker_lives(table: Table, client: Client) -> None:
    before = client.run(os.getpid)
    for crash, sign in ((lambda: os._exit(3), "exit"), (lambda: ctypes.string_at(0), "SIGSEGV")):
        job = table.call(crash, isolate=True)
        assert table.told.states(job) == {0: "lost"}
        assert sign in table.told.whys(job)[0]
    assert client.run(os.getpid) == before


def test_of_a_chunk_that_dies_only_unreported_items_run_again(table: Table, tmp_path: Path) -> None:
    folder = str(tmp_path)

    def once(x: int) -> int:
        began = len([name for name in os.listdir(folder) if name.startswith(f"{x}-")])
        open(os.path.join(folder, f"{x}-{began}"), "x").close()
        if x == 1 and not began:
            while not os.path.exists(os.path.join(folder, "reported")):
                time.sleep(0.01)
            os._exit(1)
        return x

    job = table.launch(table.each(once, [0, 1, 2], 3, isolate=True, retries=1))
    table.told.wait(lambda: table.told.raw(job), "report of the first item")
    (tmp_path / "reported").touch()
    assert table.told.wait_settled(job, 1) == {0: "done"}
    assert table.told.values(job) == {(0, n): n for n in range(3)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-0", "1-0", "1-1", "2-0", "reported"]


def test_its_surroundings_are_its_own(table: Table, client: Client) -> None:
    def change() -> str:
        os.environ["LEAKED"] = "yes"
        os.chdir("/")
        return os.getcwd()

    cwds = client.run(os.getcwd)
    assert table.value(table.call(change, isolate=True)) == "/"
    assert client.run(os.getcwd) == cwds
    assert set(client.run(lambda: os.environ.get("LEAKED")).values()) == {None}


def test_it_may_take_only_so_long(table: Table) -> None:
    job = table.call(time.sleep, 1000, isolate=True, timeout=0.3)
    assert table.told.states(job) == {0: "timed out"}


def test_a_notebook_asks_for_it_by_an_option(client: Client) -> None:
    cm.connect("dask", client)

    @cm.task(isolate=True)
    def pid(_: int = 0) -> int:
        return os.getpid()

    try:
        ours = {*client.run(os.getpid).values(), os.getpid()}
        assert pid.submit().result(30) not in ours
        assert not ours & set(pid.map(range(4)).result(30))
        assert cm.submit(os.getpid, isolate=False).result(30) in ours
    finally:
        cm.connect("inline")
    assert cm.submit(os.getpid, isolate=True).result() == os.getpid()
