"""Cancel reaches whatever a task does: waiting, computing, sleeping, or never yielding."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from crash.killing import Mesh, outcome, reached, until

import cellmesh as cm


def computing(mark: Path) -> None:
    mark.touch()
    while True:
        sum(range(1000))


def sleeping(mark: Path) -> None:
    mark.touch()
    time.sleep(1000)


def native(mark: Path) -> None:
    """C code that holds the interpreter and looks at no signal."""
    import re

    mark.touch()
    re.match(r"(a*)*b", "a" * 64)


def deaf(mark: Path) -> None:
    mark.touch()
    while True:
        try:
            time.sleep(1000)
        except KeyboardInterrupt:
            pass


@pytest.mark.parametrize("task", [computing, sleeping, native, deaf], ids=lambda task: task.__name__)
def test_cancel_frees_the_slot(mesh: Mesh, tmp_path: Path, task: Callable[[Path], None]) -> None:
    futures = [cm.submit(task, tmp_path / f"{x}") for x in range(2)]
    reached(tmp_path / "0")
    reached(tmp_path / "1")
    waiting = cm.submit(abs, -3)
    for future in futures:
        assert future.cancel()
    assert waiting.result(30) == 3
    for future in futures:
        assert isinstance(outcome(lambda one=future: one.result(0)), CancelledError)


def test_cancel_reaches_what_is_queued_and_what_waits_for_an_argument(mesh: Mesh, tmp_path: Path) -> None:
    running = [cm.submit(sleeping, tmp_path / f"{x}") for x in range(2)]
    reached(tmp_path / "0")
    reached(tmp_path / "1")
    queued = cm.submit(sleeping, tmp_path / "2")
    later = cm.submit(str, queued)
    cm.cancel([queued, later])
    cm.cancel(running)
    assert cm.submit(abs, -3).result(30) == 3
    assert isinstance(outcome(lambda: later.result(30)), CancelledError)
    assert not (tmp_path / "2").exists()


def test_a_second_cancel_is_harmless(mesh: Mesh, tmp_path: Path) -> None:
    cm.start(1)
    before = mesh.numbered()
    future = cm.submit(sleeping, tmp_path / "0")
    results = cm.map(sleeping, [tmp_path / f"m{x}" for x in range(3)])
    done = cm.submit(abs, -3)
    reached(tmp_path / "0")
    assert future.cancel()
    assert not future.cancel() or future.cancelled()
    results.cancel()
    results.cancel()
    cm.cancel([future, results])
    assert done.result(30) == 3
    assert not done.cancel()
    assert done.result() == 3
    assert isinstance(outcome(lambda: results.result(30)), CancelledError)
    until(lambda: mesh.status().slots_used == 0, "free slots")
    assert mesh.numbered() == before


def test_a_worker_survives_many_cancels(mesh: Mesh, tmp_path: Path) -> None:
    pids = set()
    for x in range(10):
        future = cm.submit(sleeping, tmp_path / f"{x}")
        reached(tmp_path / f"{x}")
        pids |= set(mesh.anonymous())
        future.cancel()
    assert cm.submit(abs, -3).result(30) == 3
    assert len(pids) <= 2
