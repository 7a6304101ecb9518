"""What a task has in a Dask worker: progress, seeds, the notebook's surroundings, other tries."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest
from conformance.recording import interpreter
from distributed import Client, LocalCluster
from engines.dask.pooling import Table
from msgspec.structs import replace

from cellmesh.kernel.tracking import track
from cellmesh.scheduler.engines.dask.worker.plugin import Plugin
from cellmesh.scheduler.wire.messages import Progress


def test_progress_is_told_before_the_end(table: Table) -> None:
    job = table.call(lambda: sum(1 for _ in track(range(1000), label="rows")))
    words = [call[1] for call in table.told.calls if call[0] == "progress"]
    assert words[0] == Progress(job, 0, 0, 0, 1000, "rows")
    assert words[-1] == Progress(job, 0, 0, 1000, 1000, "rows")
    kinds = [call[0] for call in table.told.calls if call[0] in ("progress", "settled")]
    assert kinds[-1] == "settled"


def test_a_plain_tqdm_is_progress_and_not_printed(table: Table) -> None:
    def bars() -> int:
        from tqdm import tqdm

        return sum(1 for _ in tqdm(range(1000)))

    job = table.call(bars)
    words = [call[1] for call in table.told.calls if call[0] == "progress"]
    assert (words[-1].done, words[-1].total) == (1000, 1000)
    assert table.told.text(job) == ""


def test_seeds_make_items_repeatable(table: Table) -> None:
    def draw(_: int) -> float:
        import random

        return random.random()

    tasks = [replace(task, seeds=[task.index, 7]) for task in table.each(draw, range(4), 2)]
    job = table.launch(tasks)
    table.told.wait_settled(job, 2)
    expected = [random.Random(seed).random() for seed in (0, 7, 1, 7)]
    assert [value for _, value in sorted(table.told.values(job).items())] == expected


def test_surroundings_follow_the_notebook_and_leave_with_it(table: Table, tmp_path: Path) -> None:
    def surroundings() -> tuple[str, str | None, str]:
        import os
        import sys

        return os.getcwd(), os.environ.get("POOLED"), sys.path[-1]

    environ = {**os.environ, "POOLED": "yes"}
    path = [*sys.path, str(tmp_path)]
    table.pool.set_context(interpreter(cwd=str(tmp_path), environ=environ, path=path))
    assert table.value(table.call(surroundings)) == (str(tmp_path), "yes", str(tmp_path))
    table.pool.set_context(interpreter())
    assert table.value(table.call(surroundings))[:2] == (os.getcwd(), None)


def test_exceptions_worth_another_try_are_tried_again(table: Table, tmp_path: Path) -> None:
    def flaky(folder: str) -> int:
        import os

        tries = len(os.listdir(folder))
        open(os.path.join(folder, str(tries)), "x").close()
        if tries < 2:
            raise OSError("not yet")
        return tries

    kinds = table.blob((OSError,))
    task = table.task(flaky, str(tmp_path), retries=2, retry_on=kinds)
    task = replace(task, blobs=[*task.blobs, kinds])
    job = table.launch([task], "submit")
    assert table.told.wait_settled(job, 1) == {0: "done"}
    assert table.value(job) == 2


def test_a_large_function_is_brought_to_each_worker_once(table: Table) -> None:
    data = os.urandom(200_000)

    def first(place: int) -> int:
        return data[place]

    job = table.launch(table.each(first, range(100), 10))
    table.told.wait_settled(job, 10)
    values = table.told.values(job)
    assert [values[divmod(n, 10)] for n in range(100)] == list(data[:100])


def test_few_calls_depend_on_nothing_that_lies_with_one_worker(client: Client, table: Table) -> None:
    """Dask would put them all there, though that worker is taken and another is free."""
    job = table.call(abs, -1)
    needs = client.run_on_scheduler(
        lambda dask_scheduler: [
            len(task.dependencies) for key, task in dask_scheduler.tasks.items() if key.startswith("submit-")
        ]
    )
    assert needs == [0]
    table.pool.claim(job, None)


def test_tasks_in_threads_of_one_process_print_each_for_itself(threads: Table) -> None:
    def talk(n: int) -> None:
        import time

        for _ in range(20):
            print(n)
            time.sleep(0.001)

    jobs = [threads.launch([threads.task(talk, n)], "submit") for n in range(4)]
    for n, job in enumerate(jobs):
        threads.told.wait_settled(job, 1)
        assert threads.told.text(job) == f"{n}\n" * 20


def test_what_no_worker_could_ever_give_is_said_at_once(table: Table) -> None:
    asked = [
        ({"gpus": 1}, 'needs 1 GPU; no Dask worker declares any (as by --resources "GPU=1")'),
        ({"cpus": 8}, "needs 8 cores; no Dask worker has more than 1 threads"),
        ({"memory": 10**15}, "needs 1000000.0 GB of memory; no Dask worker has more than"),
    ]
    for options, why in asked:
        job = table.call(abs, -1, **options)
        assert table.told.states(job) == {0: "lost"}
        assert table.told.whys(job)[0].startswith(why)


def test_gpus_are_handed_out_as_dask_resources() -> None:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, resources={"GPU": 1}, dashboard_address=":0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(Plugin())
        table = Table(client)
        job = table.launch([table.task(span, 0.02, index=n, gpus=1) for n in range(6)])
        assert set(table.told.wait_settled(job, 6).values()) == {"done"}
        spans = sorted(table.told.values(job).values())
        assert all(one[1] <= other[0] for one, other in zip(spans, spans[2:], strict=False))
        table.close()


@pytest.mark.parametrize("needs", [{"cpus": 3}, {"memory": 3_000_000_000}])
def test_cores_and_memory_of_a_worker_are_not_given_twice(threads: Table, needs: dict[str, int]) -> None:
    """Of its four threads two would run them at once, and two others beside the first."""
    memory = needs.get("memory", 0) // 3  # of 4 GB
    tasks = [threads.task(span, 0.05, index=n, **needs) for n in range(3)]
    tasks += [threads.task(span, 0.05, index=n, cpus=1, memory=memory) for n in range(3, 7)]
    job = threads.launch(tasks)
    assert set(threads.told.wait_settled(job, 7).values()) == {"done"}
    spans = threads.told.values(job)
    for moment in [begin for begin, _ in spans.values()]:
        at_once = [task for (task, _), (begin, end) in spans.items() if begin <= moment < end]
        assert sum(3 if task < 3 else 1 for task in at_once) <= 4


@pytest.mark.parametrize(
    ("listed", "declared", "gpus"),
    [("0,1", {}, 2), ("0,1", {"GPU": 1}, 1), ("0,1", {"LICENSE": 1}, 0), ("-1", {}, 0)],
)
def test_a_worker_has_the_gpus_that_cuda_shows_it_unless_its_cluster_declares(
    listed: str, declared: dict[str, float], gpus: int
) -> None:
    options = {"env": {"CUDA_VISIBLE_DEVICES": listed}, "resources": declared, "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster, set_as_default=False) as client:
        client.register_plugin(Plugin())
        (worker,) = client.sync(client.scheduler.identity, n_workers=-1)["workers"].values()
        assert worker["resources"].get("GPU", 0) == gpus


def span(seconds: float) -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(seconds)
    return begin, time.monotonic()
