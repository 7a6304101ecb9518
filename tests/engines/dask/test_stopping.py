"""Cancelling, Stop and timeouts of what runs in Dask's own threads."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from conformance.recording import DEADLINE
from distributed import Client
from engines.dask.pooling import Table


def spin(begun: str = "") -> None:
    if begun:
        Path(begun).touch()
        print("begun")
    while True:
        time.sleep(0.001)


def spin_on() -> None:
    """What cannot be stopped once."""
    print("begun")
    stops = 0
    while stops < 2:
        try:
            while True:
                time.sleep(0.001)
        except KeyboardInterrupt:
            stops += 1


def wait_for(folder: Path) -> None:
    """Until something is there."""
    end = time.monotonic() + DEADLINE
    while not any(folder.iterdir()):
        assert time.monotonic() < end, folder
        time.sleep(0.005)


def test_running_python_is_stopped_and_its_worker_goes_on(table: Table, tmp_path: Path) -> None:
    job = table.launch([table.task(spin, str(tmp_path / "begun"))], "submit")
    wait_for(tmp_path)
    table.cancel(job)
    assert table.told.wait_settled(job, 1) == {0: "cancelled"}
    both = table.launch([table.task(abs, -n, index=n) for n in range(4)])
    assert set(table.told.wait_settled(both, 4).values()) == {"done"}


def test_what_waits_is_dropped_and_what_runs_may_be_left_alone(table: Table, tmp_path: Path) -> None:
    tasks = [table.task(spin, str(tmp_path / f"{n}"), index=n) for n in range(20)]
    job = table.launch(tasks)
    table.told.wait(lambda: len(table.told.outputs(job)) == 2, "word that two have begun")
    table.cancel(job, queued=True)
    table.told.wait(lambda: len(table.told.states(job)) == 18, "end of those that wait")
    states = table.told.states(job)
    assert set(states.values()) == {"cancelled"}
    first, second = set(range(20)) - set(states)
    table.cancel(job, [first])
    assert table.told.wait_settled(job, [first])[first] == "cancelled"
    assert second not in table.told.states(job)
    table.cancel(job)
    table.told.wait_settled(job, 20)
    assert {path.name for path in tmp_path.iterdir()} == {str(first), str(second)}, "the others never ran"


def test_a_stopped_map_keeps_what_is_done(table: Table) -> None:
    def wait(x: int) -> int:
        if x == 2:
            spin()
        return x

    job = table.launch(table.each(wait, [0, 1, 2, 3], 4))
    table.told.wait(lambda: table.told.raw(job), "first item")
    table.cancel(job)
    assert table.told.wait_settled(job, 1) == {0: "cancelled"}
    assert table.told.values(job) == {(0, 0): 0, (0, 1): 1}


def test_a_stop_at_any_moment_ends_its_task_and_hits_no_other(table: Table) -> None:
    def busy(x: int) -> int:
        for _ in range(x * 1000):
            print(end="")
        return x

    ends = {"done": 0, "cancelled": 0}
    for n in range(60):
        job = table.launch(table.each(busy, [1, 1, 1], 3))
        bystander = table.launch([table.task(busy, 1)], "submit")
        threading.Event().wait(n % 30 * 0.0004)
        table.cancel(job)
        ends[table.told.wait_settled(job, 1)[0]] += 1
        assert table.told.wait_settled(bystander, 1) == {0: "done"}
        table.pool.claim(job, None)
        table.pool.claim(bystander, None)
    assert ends["cancelled"] > 0


def test_what_does_not_yield_is_waited_for_no_longer(table: Table) -> None:
    job = table.launch([table.task(spin_on)], "submit")
    table.told.wait(lambda: table.told.outputs(job), "its beginning")
    table.cancel(job)
    assert table.told.wait_settled(job, 1) == {0: "cancelled"}
    assert table.value(table.call(abs, -1)) == 1


def test_a_run_that_takes_too_long_is_stopped_and_its_siblings_are_not(table: Table) -> None:
    tasks = [table.task(os.getpid, index=n) for n in range(1, 4)]
    job = table.launch([table.task(spin, timeout=0.2, retries=3), *tasks])
    states = table.told.wait_settled(job, 4)
    assert states == {0: "timed out"} | dict.fromkeys(range(1, 4), "done")
    assert table.told.whys(job)[0] == "timed out after 0.2 s"


def test_the_first_failure_may_drop_the_rest(table: Table) -> None:
    def reciprocal(x: int) -> float:
        time.sleep(0.02 if x else 0)
        return 1 / x

    job = table.launch(table.each(reciprocal, [0] + [1] * 200, 1), stop_on_error=True)
    states = table.told.wait_settled(job, 201)
    assert states[0] == "failed"
    whys = {table.told.whys(job)[task] for task, state in states.items() if state == "cancelled"}
    assert whys == {"an earlier item failed"}


def test_the_end_of_a_session_stops_what_runs_and_what_would_begin(client: Client, tmp_path: Path) -> None:
    table = Table(client)
    table.launch([table.task(spin, str(tmp_path / f"{n}"), index=n) for n in range(20)])
    wait_for(tmp_path)  # which of them come first is Dask's affair
    table.close()
    later = Table(client)  # has both workers only once nothing spins there
    job = later.launch([later.task(time.sleep, 0.2, index=n) for n in range(2)])
    later.told.wait_settled(job, 2)
    later.close()
    assert len(list(tmp_path.iterdir())) <= 3


def test_nothing_is_sent_to_a_thread_that_does_not_yield(client: Client, tmp_path: Path) -> None:
    first = Table(client)
    job = first.launch([first.task(blocked, str(tmp_path / "go"))], "submit")
    first.told.wait(lambda: first.told.outputs(job), "its beginning")
    first.close()
    second = Table(client)
    for _ in range(5):
        assert second.value(second.call(abs, -1)) == 1
    (tmp_path / "go").touch()
    both = second.launch([second.task(time.sleep, 0.1, index=n) for n in range(6)])
    assert set(second.told.wait_settled(both, 6).values()) == {"done"}
    second.close()


def blocked(go: str) -> None:
    """What notices no Stop, until it may go on."""
    print("begun")
    while not Path(go).exists():
        try:
            time.sleep(0.05)
        except KeyboardInterrupt:
            pass
