"""What `cm.Executor` promises beyond CPython's own tests: shutdown, bounds, the end of a script, asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import itertools
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from guests.conftest import embedded_only
from guests.waiting import hold, until

import cellmesh as cm
from cellmesh.kernel.session import Session


def span(_: int) -> tuple[float, float]:
    began = time.monotonic()  # one clock for all processes of a machine
    time.sleep(0.02)
    return began, time.monotonic()


def test_it_takes_no_more_after_its_end(pool: Session) -> None:
    with cm.Executor() as executor:
        future = executor.submit(pow, 2, 5)
    assert future.done()
    assert future.result() == 32
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(abs, 1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(abs, [1])


@embedded_only
@pytest.mark.parametrize("max_workers", [None, 1])
def test_what_has_begun_survives_cancel_futures(
    pool: Session, tmp_path: Path, max_workers: int | None
) -> None:
    executor = cm.Executor(max_workers)
    begins = max_workers or 2
    go = tmp_path / "go"
    held = [executor.submit(hold, tmp_path / f"started-{i}", go) for i in range(begins)]
    queued = [executor.submit(abs, i) for i in range(10)]
    until(lambda: len(list(tmp_path.glob("started-*"))) == begins, "the first calls begin")
    executor.shutdown(wait=False, cancel_futures=True)
    until(lambda: all(future.cancelled() for future in queued), "those that had not begun are cancelled")
    assert not any(future.done() for future in held)
    go.touch()
    executor.shutdown(wait=True)
    assert [future.result(0) for future in held] == ["held"] * begins


@embedded_only
def test_cancel_futures_drops_calls_that_travel_together_but_no_others(pool: Session, tmp_path: Path) -> None:
    with cm.Executor() as executor:
        for future in [executor.submit(abs, -i) for i in range(600)]:  # now they are known to be short
            future.result()
    go = tmp_path / "go"
    executor = cm.Executor()
    held = [executor.submit(hold, tmp_path / f"started-{i}", go) for i in range(2)]
    until(lambda: len(list(tmp_path.glob("started-*"))) == 2, "the first calls begin")
    mixed = [(executor.submit(abs, -i), cm.submit(abs, -i)) for i in range(600)]
    until(lambda: all(ours.index >= 0 for ours, _ in mixed), "they have left")
    assert len({ours.index for ours, _ in mixed}) < 600
    executor.shutdown(wait=False, cancel_futures=True)
    # Not quite all: what waits at a worker already has begun, as far as the pool knows.
    until(lambda: sum(ours.cancelled() for ours, _ in mixed) > 300, "those that had not begun are cancelled")
    go.touch()
    assert [theirs.result() for _, theirs in mixed] == list(range(600))
    executor.shutdown()
    assert all(ours.cancelled() or ours.result(0) == i for i, (ours, _) in enumerate(mixed))
    assert [future.result(0) for future in held] == ["held"] * 2


@embedded_only
def test_at_most_so_many_at_once_without_blocking_submit(pool: Session, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with cm.Executor(max_workers=1) as executor:
        first = executor.submit(hold, tmp_path / "started", go)
        rest = [executor.submit(span, i) for i in range(8)]
        unwanted = rest.pop(3)
        assert unwanted.cancel()
        assert not first.done()
        go.touch()
        spans = sorted(future.result(30) for future in rest)
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
    assert unwanted.cancelled()


def test_map_takes_chunks_and_stops_where_it_fails(pool: Session) -> None:
    with cm.Executor() as executor:
        assert list(executor.map(pow, range(7), range(7), chunksize=3)) == [n**n for n in range(7)]
        failing = executor.map(divmod, [4, 4, 4], [2, 0, 1])
        assert next(failing) == (2, 0)
        with pytest.raises(ZeroDivisionError):
            next(failing)
        assert list(failing) == []
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            executor.map(abs, [1], chunksize=0)


def test_map_chunks_by_itself_and_takes_its_items_at_once(pool: Session) -> None:
    source = iter(range(20_000))
    with cm.Executor() as executor:
        results = executor.map(pow, source, itertools.repeat(2))
        assert next(source, None) is None
        assert next(results) == 0
        assert list(results) == [n * n for n in range(1, 20_000)]
        assert list(executor.map(pow)) == list(executor.map(pow, [], [1])) == []


@embedded_only
def test_a_map_that_has_begun_survives_cancel_futures(pool: Session, tmp_path: Path) -> None:
    go = tmp_path / "go"
    executor = cm.Executor()
    started = [tmp_path / f"started-{i}" for i in range(50)]
    results = executor.map(hold, started, itertools.repeat(go))
    until(lambda: len(list(tmp_path.glob("started-*"))) == 2, "the first two begin")
    executor.shutdown(wait=False, cancel_futures=True)
    go.touch()
    executor.shutdown()
    assert [next(results), next(results)] == ["held", "held"]
    with pytest.raises(concurrent.futures.CancelledError):
        next(results)
    assert len(list(tmp_path.glob("started-*"))) == 2


def test_map_with_a_buffer_takes_from_an_endless_source(pool: Session) -> None:
    source = itertools.count()
    with cm.Executor() as executor:
        results = executor.map(abs, source, buffersize=3)
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert next(source) <= 9  # five taken, three ahead


@embedded_only
def test_a_map_that_is_not_taken_to_its_end_is_cancelled(pool: Session, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with cm.Executor(1) as executor:
        started = [tmp_path / f"started-{i}" for i in range(5)]
        results = executor.map(hold, started, itertools.repeat(go), timeout=1)
        with pytest.raises(TimeoutError):
            next(results)
    assert not started[-1].exists()


@embedded_only
def test_callbacks_come_in_order_and_cancelled_futures_say_so(pool: Session, tmp_path: Path) -> None:
    with cm.Executor(1) as executor:
        order: list[str] = []
        running = executor.submit(hold, tmp_path / "started", tmp_path / "go")
        waiting = executor.submit(abs, -1)
        for name in ("first", "second"):
            waiting.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
        assert waiting.cancel()
        assert waiting.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            waiting.result()
        assert order == ["first", "second"]
        until((tmp_path / "started").exists, "it begins")
        assert running.cancel()  # ours reach running code, too
    assert running.cancelled()


def test_ours_and_foreign_futures_are_waited_for_together(pool: Session) -> None:
    with cm.Executor() as executor, concurrent.futures.ThreadPoolExecutor(1) as threads:
        mixed = {executor.submit(abs, -1), threads.submit(abs, -2), executor.submit(divmod, 1, 0)}
        assert concurrent.futures.wait(mixed, timeout=30).done == mixed
        ended = list(concurrent.futures.as_completed(mixed, timeout=30))
        assert set(ended) == mixed
        assert {future.result() for future in ended if future.exception() is None} == {1, 2}


def test_asyncio_runs_things_in_it(pool: Session) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        with cm.Executor() as executor:
            one = await loop.run_in_executor(executor, pow, 2, 3)
            two = await asyncio.wrap_future(executor.submit(abs, -2))
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(executor, divmod, 1, 0)
        return [one, two]

    assert asyncio.run(main()) == [8, 2]


def test_calls_that_wait_for_their_turn_fail_with_the_engine() -> None:
    """The hub and its nursery are killed while one call runs and three are held back."""
    ended = script(
        "import cellmesh as cm, concurrent.futures, os, pathlib, psutil, signal, sys, tempfile, time\n"
        "from cellmesh.kernel import attaching\n"
        "started = pathlib.Path(tempfile.mkdtemp()) / 'started'\n"
        "def hold(path):\n"
        "    path.touch()\n"
        "    time.sleep(60)\n"
        "executor = cm.Executor(1)\n"
        "futures = [executor.submit(hold, started) for _ in range(4)]\n"
        "while not started.exists():\n"
        "    time.sleep(0.01)\n"
        "hub = psutil.Process(attaching.current().engine.status().pid)\n"
        "for process in (hub.parent(), hub):\n"
        "    process.kill()\n"
        "for future in futures:\n"
        "    print(type(future.exception(30)).__name__)\n"
        "executor.shutdown()\n"
    )
    assert ended.stdout.split() == ["EngineError"] * 4, ended.stderr


def script(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_script_does_not_end_before_its_calls() -> None:
    ended = script(
        "import cellmesh as cm, time\n"
        "def late(word):\n"
        "    time.sleep(0.5)\n"
        "    print(word)\n"
        "executor = cm.Executor(1)\n"
        "for word in ('apple', 'pear'):\n"
        "    executor.submit(late, word)\n"
        "executor.shutdown(wait=False)\n"
    )
    assert ended.stdout.split() == ["apple", "pear"], ended.stderr
    assert "cancelled" not in ended.stderr
    assert ended.returncode == 0


def test_nothing_is_submitted_while_the_interpreter_ends() -> None:
    ended = script(
        "import atexit\n"
        "@atexit.register\n"
        "def last():\n"
        "    try:\n"
        "        executor.submit(abs, 1)\n"
        "    except RuntimeError as error:\n"
        "        print(error)\n"
        "import cellmesh as cm\n"
        "executor = cm.Executor()\n"
    )
    assert ended.stdout.strip() == "cannot schedule new futures after interpreter shutdown", ended.stderr


def test_results_that_were_taken_take_no_memory_though_more_calls_may_come(pool: Session) -> None:
    with cm.Executor() as executor:
        executor.submit(bytes, 50_000).result()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(100):
                assert len(executor.submit(bytes, 50_000).result()) == 50_000
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 1_000_000
        finally:
            tracemalloc.stop()
