"""Calls and maps in Dask's own threads: results, output, errors."""

from __future__ import annotations

import os
import sys

from engines.dask.pooling import Table

from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.wire.messages import Ref


def test_a_call_runs_in_a_dask_worker_and_prints_here(table: Table) -> None:
    def work(x: int) -> tuple[int, int]:
        print("one")
        print("two", file=sys.stderr)
        return x + 1, os.getpid()

    job = table.call(work, 1)
    assert table.told.states(job) == {0: "done"}
    assert table.value(job)[0] == 2
    assert table.value(job)[1] != os.getpid()
    assert (table.told.text(job), table.told.text(job, "stderr")) == ("one\n", "two\n")
    kinds = [call[0] for call in table.told.calls if call[0] in ("output", "items", "settled")]
    assert kinds == ["output", "output", "items", "settled"]


def test_an_exception_says_where_it_was(table: Table) -> None:
    job = table.call(lambda: 1 / 0)
    assert table.told.states(job) == {0: "failed"}
    failure = table.value(job)
    assert isinstance(failure, Failure)
    assert failure.type_name == "ZeroDivisionError"
    assert "Dask worker" in failure.worker


def test_a_map_in_chunks_brings_each_item_once(table: Table) -> None:
    job = table.launch(table.each(lambda x: x * x, range(250), 10))
    assert set(table.told.wait_settled(job, 25).values()) == {"done"}
    values = table.told.values(job)
    assert [values[divmod(i, 10)] for i in range(250)] == [i * i for i in range(250)]


def test_a_large_result_stays_with_its_worker_until_it_is_asked_for(table: Table) -> None:
    job = table.call(lambda: b"x" * 1_000_000)
    assert isinstance(table.told.raw(job)[0, 0].payload, Ref)
    assert table.value(job) == b"x" * 1_000_000
