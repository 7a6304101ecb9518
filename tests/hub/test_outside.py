"""Real workers that are stopped, continued and told to end from outside."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk
from crash.killing import gone, reached, until
from hub import inside

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub


@pytest.fixture
def desk(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    opened = Desk(EmbeddedEngine(ensure_hub(f"test-{uuid.uuid4().hex[:6]}")))
    yield opened
    opened.engine.close(end_session=True)


def task_workers(desk: Desk) -> list[int]:
    return [pid for session in desk.engine.status().sessions for pid in session.task_workers if pid]


def notices(desk: Desk) -> str:
    return "\n".join(call[1] for call in desk.told.calls if call[0] == "notice")


def test_a_stopped_worker_is_noticed_and_its_task_goes_on_elsewhere(desk: Desk, tmp_path: Path) -> None:
    job = desk.launch("map", desk.map_tasks(inside.meet, [(str(tmp_path), "again")], 1, retries=1))
    reached(tmp_path / "met-1")
    (pid,) = task_workers(desk)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: gone(pid), "the end of the stopped worker")
    reached(tmp_path / "met-2")
    (tmp_path / "again").touch()
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    assert "was stopped (SIGSTOP) for 5 s" in notices(desk)


def test_a_worker_that_goes_on_loses_nothing(desk: Desk, tmp_path: Path) -> None:
    job = desk.launch("map", desk.map_tasks(inside.meet, [(str(tmp_path), "go")], 1))
    reached(tmp_path / "met-1")
    (pid,) = task_workers(desk)
    os.kill(pid, signal.SIGSTOP)
    desk.engine.status()
    os.kill(pid, signal.SIGCONT)
    (tmp_path / "go").touch()
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    assert task_workers(desk) == [pid]


def test_sigterm_lets_a_cell_end_and_gives_its_number_a_new_worker(desk: Desk, tmp_path: Path) -> None:
    (before,) = desk.mesh(1)
    desk.cell("kept = 1", setup=True)
    source = f"from hub import inside\ninside.meet(({str(tmp_path)!r}, 'go'))\nprint('ended', kept)"
    job = desk.launch("cell", [desk.cell_task(source)])
    reached(tmp_path / "met-1")
    os.kill(before.pid, signal.SIGTERM)
    os.kill(before.pid, signal.SIGTERM)
    later = desk.launch("cell", [desk.cell_task("import os\nprint(os.getpid(), kept)")])
    (tmp_path / "go").touch()
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    assert desk.told.text(job) == "ended 1\n"
    assert desk.told.wait_settled(later, 1) == {0: "done"}
    pid, kept = desk.told.text(later).split()
    assert int(pid) != before.pid
    assert kept == "1"
    assert "worker 0 was told to end (SIGTERM); a new worker 0 takes its place" in notices(desk)
    until(lambda: gone(before.pid), "the end of the worker that was told to end")


def test_sigterm_reaches_a_worker_that_computes_in_c(desk: Desk, tmp_path: Path) -> None:
    job = desk.launch("map", desk.map_tasks(inside.compute, [str(tmp_path)], 1))
    reached(tmp_path / "computing")
    (pid,) = task_workers(desk)
    os.kill(pid, signal.SIGTERM)
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    until(lambda: gone(pid), "the end of the worker that was told to end")


def test_processes_that_a_task_forks_take_sigterm_as_usual(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(inside.end_a_child, [0], 1))
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    assert desk.told.values(job) == {(0, 0): -signal.SIGTERM}
    assert desk.value(desk.call(os.getpid)) in task_workers(desk)
