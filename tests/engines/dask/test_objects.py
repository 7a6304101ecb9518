"""Large arguments and results: in Dask's memory, moved by Dask, and gone when nobody needs them."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
from conformance.recording import DEADLINE
from distributed import Client
from engines.dask.pooling import Table

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Payload, Ref, TaskWire


class Stand:
    """Stands for a Future whose result has this payload."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload


def packed(table: Table, *args: Any) -> Payload:
    """Arguments as a notebook packs them."""
    return codec.dumps(
        (args, {}),
        table.pool.object_prefix(),
        persist=lambda obj: obj.payload if isinstance(obj, Stand) else None,
    )


def called(table: Table, function: Any, *args: Any, **options: Any) -> int:
    """A call with such arguments; waits for its end."""
    task = TaskWire(0, "call", packed(table, *args), [table.blob(function)], **options)
    job = table.launch([task], "submit")
    table.told.wait_settled(job, 1)
    return job


def result(table: Table, job: int) -> Stand:
    """The Future of the first result."""
    return Stand(table.told.raw(job)[0, 0].payload)


def wait_empty(client: Client, prefix: str) -> None:
    """Until Dask has nothing of such names any more."""
    end = time.monotonic() + DEADLINE
    while left := [key for key in client.who_has() if key.startswith(prefix)]:
        assert time.monotonic() < end, left
        time.sleep(0.02)


def test_a_large_argument_is_used_in_place_and_freed_when_its_task_is_over(
    table: Table, client: Client
) -> None:
    def total(array: Any) -> tuple[float, bool]:
        return float(array.sum()), bool(array.flags.writeable)

    job = called(table, total, np.ones(1_000_000))
    assert table.value(job) == (1_000_000.0, False)
    wait_empty(client, table.pool.object_prefix())


def test_what_was_put_serves_many_tasks_until_it_is_dropped(table: Table, client: Client) -> None:
    ref = codec.dumps(b"x" * 1_000_000, table.pool.object_prefix())
    assert isinstance(ref, Ref)
    table.pool.keep(ref)
    assert codec.loads(ref) == b"x" * 1_000_000
    blob = table.blob(lambda data, n: (data[n], os.getpid(), time.sleep(0.02)))
    tasks = [TaskWire(n, "call", packed(table, Stand(ref), n), [blob]) for n in range(20)]
    job = table.launch(tasks)
    table.told.wait_settled(job, 20)
    values = table.told.values(job).values()
    assert {value[0] for value in values} == {ord("x")}
    assert len({value[1] for value in values}) == 2, "both workers had it"
    assert table.value(called(table, lambda data: len(data["a"][0]), {"a": [Stand(ref)]})) == 1_000_000
    table.pool.drop(ref.name)
    wait_empty(client, ref.name)


def test_a_large_result_goes_from_worker_to_worker(table: Table) -> None:
    first = called(table, lambda n: np.arange(n), 1_000_000)
    second = called(table, lambda array: array[::-1].copy(), Stand(result(table, first).payload))
    third = called(
        table, lambda pair: int((pair[0] + pair[1]).sum()), [result(table, first), result(table, second)]
    )
    assert table.value(third) == 1_000_000 * 999_999


def test_what_a_function_refers_to_may_be_large(table: Table) -> None:
    data = np.arange(100_000)
    blob = codec.dumps(lambda n: int(data[n]), table.pool.object_prefix())
    assert isinstance(blob, Ref)
    table.blobs["large"] = blob  # type: ignore[assignment]
    job = table.launch([TaskWire(0, "each", codec.dumps([5, 7]), ["large"], 2)])
    table.told.wait_settled(job, 1)
    assert list(table.told.values(job).values()) == [5, 7]


def test_what_was_put_outlives_the_worker_that_had_it(table: Table, client: Client) -> None:
    ref = codec.dumps(b"y" * 1_000_000, table.pool.object_prefix())
    assert isinstance(ref, Ref)
    table.pool.keep(ref)
    for _ in range(3):
        job = called(table, lambda data: (len(data), os.getpid()), Stand(ref), retries=2)
        size, pid = table.value(job)
        assert size == 1_000_000
        os.kill(pid, signal.SIGKILL)
    table.pool.drop(ref.name)
