"""Tasks that submit tasks on a cluster of one-thread workers: in Dask's threads, isolated, and in cells."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from conformance.recording import Desk
from distributed import Client
from engines.dask.pooling import Table

import cellmesh as cm
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.engine import DaskEngine


def fib(n: int) -> int:
    """Two tasks for each that is not a leaf."""
    if n < 2:
        return n
    one, other = cm.submit(fib, n - 1), cm.submit(fib, n - 2)
    return int(one.result() + other.result())


def talk(n: int) -> str:
    print("level", n)
    return "end" if n == 0 else str(cm.submit(talk, n - 1).result())


def failing() -> Any:
    return cm.submit(int, "no number").result()


ISOLATE = pytest.mark.parametrize("isolate", [False, True], ids=["thread", "process"])


@ISOLATE
def test_all_verbs_work_and_nobody_waits_for_ever(table: Table, isolate: bool) -> None:
    def inner() -> tuple[int, list[int], list[int]]:
        given = cm.put([1, 2, 3])
        total = cm.submit(sum, given)
        done, _ = cm.wait([cm.submit(abs, -4)])
        return total.result(), cm.map(abs, [-1, -2]).result(), [one.result() for one in done]

    jobs = [table.launch([table.task(fib, 4, isolate=isolate)], "submit") for _ in range(3)]
    verbs = table.launch([table.task(inner, isolate=isolate)], "submit")
    for job in jobs:
        assert table.told.wait_settled(job, 1) == {0: "done"}
        assert table.value(job) == 3
    assert table.told.wait_settled(verbs, 1) == {0: "done"}
    assert table.value(verbs) == (6, [1, 2], [4])


@ISOLATE
def test_prints_and_errors_of_inner_tasks_are_the_outer_ones(table: Table, isolate: bool) -> None:
    job = table.call(talk, 2, isolate=isolate)
    assert table.value(job) == "end"
    assert sorted(table.told.text(job).splitlines()) == ["level 0", "level 1", "level 2"]
    failed = table.call(failing, isolate=isolate)
    assert table.told.states(failed) == {0: "failed"}
    failure = table.value(failed)
    assert failure.type_name == "ValueError"
    assert "no number" in failure.message


@ISOLATE
def test_stop_reaches_the_inner_tasks(table: Table, isolate: bool) -> None:
    def outer() -> None:
        cm.submit(inner).result()

    def inner() -> None:
        print("begun")
        time.sleep(1000)

    job = table.launch([table.task(outer, isolate=isolate)], "submit")
    table.told.wait(lambda: "begun" in table.told.text(job), "beginning of the inner one")
    table.cancel(job)
    assert table.told.wait_settled(job, 1) == {0: "cancelled"}
    after = [table.launch([table.task(fib, 2, isolate=isolate)], "submit") for _ in range(2)]
    for each in after:
        assert table.told.wait_settled(each, 1) == {0: "done"}


def test_a_future_that_a_task_returns_is_its_result(table: Table) -> None:
    def outer() -> Any:
        return cm.submit(pow, 2, 5)

    assert table.value(table.call(outer)) == 32


def test_a_task_stays_on_the_engine_of_its_notebook(table: Table) -> None:
    failed = table.call(lambda: cm.connect("inline"))
    assert "is for the notebook" in table.value(failed).message


CELL = """
import cellmesh as cm
def square(x):
    print('item', x)
    return x * x
cm.map(square, [1, 2]).result()
"""


def test_what_is_no_task_starts_no_hub_of_its_own(table: Table) -> None:
    def outer() -> str:
        errors = []

        def inner() -> None:
            try:
                cm.submit(abs, -1)
            except EngineError as error:
                errors.append(str(error))

        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()
        return "".join(errors)

    assert "not in the thread of a task" in table.value(table.call(outer))


def test_cells_submit_tasks(client: Client) -> None:
    engine = DaskEngine(client)
    desk = Desk(engine, "nesting cells")
    try:
        desk.mesh(2)
        for worker in range(2):
            job = desk.cell(CELL, worker=worker)
            assert desk.told.states(job) == {0: "done"}
            assert desk.value(job) == [1, 4]
            assert sorted(desk.told.text(job).splitlines()) == ["item 1", "item 2"]
    finally:
        engine.close(end_session=True)
