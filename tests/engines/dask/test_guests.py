"""Dask's own futures and collections beside ours, through the front door."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
from distributed import Client

import cellmesh as cm
from cellmesh.scheduler.engines.contract import EngineError


@pytest.fixture
def connected(client: Client) -> Iterator[Client]:
    """This process as a notebook on the cluster."""
    cm.connect("dask", client)
    yield client
    cm.connect("inline")


def add(x: Any, y: Any) -> Any:
    return x + y


def test_a_result_is_a_future_of_dasks(connected: Client) -> None:
    small, large = cm.submit(add, 1, 2), cm.submit(np.arange, 100_000)
    assert connected.submit(add, small.dask, 1).result() == 4
    assert int(connected.submit(np.sum, large.dask).result()) == 4999950000
    assert small.result() == 3
    assert small.dask.result() == 3, "also when it has been taken"
    many = [cm.submit(add, n, 0) for n in range(500)]  # some travel together
    assert connected.gather([future.dask for future in many]) == list(range(500))
    assert cm.put("here").dask.result() == "here"
    assert connected.submit(len, cm.put(b"x" * 1_000_000).dask).result() == 1_000_000


def test_what_a_task_raised_is_raised_there_too(connected: Client) -> None:
    failed = cm.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failed.dask.result()
    failed.exception()


def test_futures_of_dasks_are_their_values_in_tasks(connected: Client) -> None:
    one = connected.submit(add, 1, 1, pure=False)
    arrays = [connected.submit(np.full, 100_000, n, pure=False) for n in range(3)]
    assert cm.submit(add, one, 1).result() == 3
    assert (
        cm.submit(lambda given: int(sum(each[0] for each in given["arrays"])), {"arrays": arrays}).result()
        == 3
    )
    assert cm.map(lambda n, base: n + base, range(5), base=one).result() == [2, 3, 4, 5, 6]
    assert cm.map(lambda n: n + 1, [one, one]).result() == [3, 3]


def test_collections_are_computed_where_they_are_needed(connected: Client) -> None:
    array = dask.array.ones((1000, 100), chunks=(100, 100))
    delayed = dask.delayed(add)(20, 1)
    assert cm.submit(
        lambda table, n: (type(table).__name__, float(table.sum()) + n), array, delayed
    ).result() == (
        "ndarray",
        100_021.0,
    )


def test_a_future_of_dasks_may_be_forgotten_once_it_is_passed(connected: Client) -> None:
    results = [cm.submit(add, connected.submit(add, n, 1, pure=False), 1) for n in range(20)]
    assert [future.result() for future in results] == [n + 2 for n in range(20)]


def test_once_the_cluster_is_left_a_future_has_none_of_dasks(client: Client) -> None:
    cm.connect("dask", client)
    future = cm.submit(add, 1, 2)
    assert future.result() == 3
    cm.connect("inline")
    with pytest.raises(EngineError, match="has left its Dask cluster"):
        _ = future.dask


def test_elsewhere_it_says_what_to_do() -> None:
    cm.connect("inline")
    with pytest.raises(Exception, match=r"only on a Dask cluster"):
        _ = cm.submit(add, 1, 2).dask
    lock = threading.Lock()
    with pytest.raises(TypeError, match="lock"):
        cm.submit(add, lock, 1)
