"""Workers that die under their tasks: noticed, named, replaced; their tasks run elsewhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from crash.killing import Mesh, kill, outcome, reached, until

import cellmesh as cm


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crashed() -> None:
    import ctypes

    ctypes.string_at(0)


def exited() -> None:
    os._exit(3)


DEATHS = {
    killed: "was killed by SIGKILL",
    crashed: "crashed with a segmentation fault (SIGSEGV)",
    os.abort: "aborted (SIGABRT)",
    exited: "ended itself (exit code 3",
}


@pytest.mark.parametrize("die", DEATHS, ids=lambda die: die.__name__)
def test_a_death_is_named_when_retries_are_spent(mesh: Mesh, die: Callable[[], None]) -> None:
    with pytest.raises(cm.WorkerLost) as lost:
        cm.submit(die, retries=0).result(30)
    assert DEATHS[die] in str(lost.value)
    assert "memory" not in str(lost.value)
    assert cm.submit(abs, -3).result(30) == 3


def test_what_a_dead_worker_ran_is_run_again_elsewhere(mesh: Mesh, tmp_path: Path) -> None:
    def once(x: int) -> tuple[int, int]:
        first = tmp_path / f"{x}"
        if not first.exists():
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x, os.getpid()

    found = [cm.submit(once, x) for x in range(4)]
    assert [future.result(30)[0] for future in found] == [0, 1, 2, 3]


def test_a_task_that_kills_every_worker_is_stopped_and_its_neighbours_live(
    mesh: Mesh, tmp_path: Path
) -> None:
    def murder() -> None:
        (tmp_path / f"{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    murderer = cm.submit(murder, retries=2)
    innocents = [cm.submit(pow, x, 2) for x in range(50)]
    assert [future.result(30) for future in innocents] == [x * x for x in range(50)]
    error = outcome(lambda: murderer.result(30))
    assert isinstance(error, cm.WorkerLost)
    assert "murder: a task worker was killed by SIGKILL, the last of 3 that died under it" in str(error)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_pool_is_back_to_size(mesh: Mesh) -> None:
    cm.start(2)
    before = mesh.numbered()
    kill(before[0])
    kill(before[1])
    after = until(lambda: mesh.replaced(before), "new workers")
    assert sorted(after) == [0, 1]


def test_what_a_dead_worker_started_dies_with_it(mesh: Mesh, tmp_path: Path) -> None:
    def parent() -> None:
        import subprocess

        child = subprocess.Popen(["sleep", "1000"])
        (tmp_path / "child").write_text(str(child.pid))
        (tmp_path / "told").touch()
        child.wait()

    future = cm.submit(parent, retries=0)
    reached(tmp_path / "told")
    child = int((tmp_path / "child").read_text())
    (worker,) = mesh.anonymous()
    kill(worker)
    assert isinstance(outcome(lambda: future.result(30)), cm.WorkerLost)
    until(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")


def test_items_that_kill_every_worker_are_lost_and_the_rest_of_the_map_is_there(mesh: Mesh) -> None:
    def touchy(x: int) -> int:
        if x in (500, 501, 900):
            os._exit(5)
        return x

    results = cm.map(touchy, range(1000))
    error = outcome(lambda: results.result(50))
    assert isinstance(error, cm.WorkerLost)
    assert "ended itself (exit code 5, as by os._exit(5)), the last of 3 that died under it" in str(error)
    assert any("item 500" in note for note in error.__notes__)
    found = error.results
    assert [x for x in range(1000) if found[x] != x] == [500, 501, 900]
    assert all(isinstance(found[x], cm.WorkerLost) for x in (500, 501, 900))
