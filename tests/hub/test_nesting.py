"""Tasks that submit tasks and wait for them, on a real pool of one core."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk
from crash.killing import until
from hub import inside

from cellmesh.scheduler.core.nesting import DEEPEST
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import SessionInfo, TaskWire


@pytest.fixture
def desk(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("CELLMESH_CPUS", "1")
    opened = Desk(EmbeddedEngine(ensure_hub(f"test-{uuid.uuid4().hex[:6]}")))
    yield opened
    opened.engine.close(end_session=True)


def session(desk: Desk) -> SessionInfo:
    (info,) = desk.engine.status().sessions
    return info


def launch(desk: Desk, function: object, *args: object, **options: int) -> int:
    task = TaskWire(0, "call", codec.dumps((args, {})), [desk.blob(function)], **options)  # type: ignore[arg-type]
    return desk.launch("submit", [task])


def pid_in(file: Path) -> int:
    until(lambda: file.exists() and file.read_text(), f"word in {file.name}")
    return int(file.read_text())


def test_a_tree_of_tasks_on_one_core(desk: Desk) -> None:
    assert desk.value(desk.call(inside.fibonacci, 6)) == 8
    assert session(desk).slots == 0


def test_a_distributed_cell_waits_for_its_tasks_too(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("from hub import inside\ninside.fibonacci(4)", filename="<cell>")
    assert desk.told.states(job) == {0: "done"}
    assert desk.told.outputs(job)[-1].kind == "result"


def test_a_recursion_without_end_is_refused(desk: Desk) -> None:
    failure = desk.value(desk.call(inside.descend, DEEPEST + 5))
    assert f"more than {DEEPEST} levels" in failure.message


def test_what_tasks_inside_tasks_print_belongs_to_the_launch(desk: Desk) -> None:
    job = desk.call(inside.talk, 2)
    assert desk.told.text(job) == "level 2\nlevel 1\nlevel 0\n"
    assert [info.id for info in session(desk).jobs] == [job]  # and they are no jobs of their own to people


def test_cancel_reaches_the_innermost_task(desk: Desk, tmp_path: Path) -> None:
    job = launch(desk, inside.sleep_inside, str(tmp_path), 2)
    pid_in(tmp_path / "0")
    desk.engine.cancel(job)
    assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    until(lambda: session(desk).slots == 0, "free slots")
    assert desk.value(desk.call(abs, -3)) == 3


def test_children_go_with_the_worker_of_their_parent(desk: Desk, tmp_path: Path) -> None:
    job = launch(desk, inside.sleep_inside, str(tmp_path), 1)
    pid_in(tmp_path / "0")
    os.kill(pid_in(tmp_path / "1"), signal.SIGKILL)
    assert desk.told.wait_settled(job, 1) == {0: "lost"}
    until(lambda: session(desk).slots == 0, "free slots")


def test_what_a_task_leaves_behind_ends_with_its_process(desk: Desk, tmp_path: Path) -> None:
    (worker,) = desk.mesh(1)
    job = desk.cell(f"from hub import inside\ninside.leave_behind({str(tmp_path)!r})")
    assert desk.told.states(job) == {0: "done"}
    assert pid_in(tmp_path / "0") != worker.pid
    assert session(desk).slots == 1
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: session(desk).slots == 0, "free slots")


def test_a_hub_that_comes_back_lets_trees_go_on(desk: Desk, tmp_path: Path) -> None:
    job = launch(desk, inside.fibonacci, 7)
    desk.told.wait(lambda: session(desk).task_workers, "worker")
    os.kill(desk.engine.status().pid, signal.SIGKILL)
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    assert desk.value(job) == 13
