"""kill -9 for a kernel: what it launched goes on, and the notebook's next kernel takes all of it."""

from __future__ import annotations

from pathlib import Path

from crash.killing import Mesh, kill, reached, until
from support import kernels

import cellmesh as cm
from cellmesh.kernel import attaching

WAIT = """
def wait(folder, x):
    import time
    (folder / f"began {x}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return x * x

folder = pathlib.Path(FOLDER)
LAUNCH
(folder / "launched").touch()
import time
time.sleep(1000)
"""


def leave_behind(mesh: Mesh, folder: Path, launch: str, items: int) -> None:
    """A kernel launches this, and is killed once the hub has it, while it runs."""
    code = WAIT.replace("FOLDER", repr(str(folder))).replace("LAUNCH", launch)
    kernel = kernels.start(mesh.folder, "book", code)
    reached(folder / "launched")
    reached(folder / "began 0")

    def known() -> bool:
        books = [one for one in mesh.status().sessions if one.id == "book"]
        return sum(job.items - job.done for one in books for job in one.jobs) >= items

    until(known, f"{items} items in the hub")
    kill(kernel.pid)
    kernel.wait()


def test_a_hub_that_comes_back_says_again_what_was_asked_of_a_job(mesh: Mesh, tmp_path: Path) -> None:
    """Its answer may have died with it, after it had journaled the question."""
    leave_behind(mesh, tmp_path, "futures = [cm.submit(wait, folder, x) for x in range(3)]", 3)
    kernels.attach(mesh.folder, "book")
    futures = cm.attach()
    job = futures[0].job
    assert job is not None
    job.info = None
    mesh.kill_hub()
    until(lambda: job.info, "the answer")
    (tmp_path / "go").touch()
    assert [future.result(30) for future in futures] == [0, 1, 4]


def no_jobs_are_kept() -> bool:
    session = attaching.current()
    session.drain_claims()
    return not any(one.jobs for one in session.engine.status().sessions if one.id == "book")


def test_submits_that_have_not_run_yet_are_taken_over(mesh: Mesh, tmp_path: Path) -> None:
    leave_behind(mesh, tmp_path, "futures = [cm.submit(wait, folder, x) for x in range(6)]", 6)
    kernels.attach(mesh.folder, "book")
    futures = cm.attach()
    assert len(futures) == 6
    assert not any(future.done() for future in futures)
    (tmp_path / "go").touch()
    assert [future.result(30) for future in futures] == [x * x for x in range(6)]
    until(no_jobs_are_kept, "an empty list of jobs")


def test_calls_that_travel_together_are_taken_over_one_by_one(mesh: Mesh, tmp_path: Path) -> None:
    launch = (
        "known = [cm.submit(abs, x).result() for x in range(50)]",
        "blocked = [cm.submit(wait, folder, x) for x in range(2)]",
        "many = [cm.submit(abs, -x) for x in range(500)]",
    )
    leave_behind(mesh, tmp_path, "; ".join(launch), 500)
    kernels.attach(mesh.folder, "book")
    futures = cm.attach()
    (tmp_path / "go").touch()
    assert sorted(future.result(30) for future in futures) == sorted([0, 1, *range(500)])
    del futures
    until(no_jobs_are_kept, "an empty list of jobs")


def test_what_is_taken_over_and_dropped_is_freed(mesh: Mesh, tmp_path: Path) -> None:
    leave_behind(mesh, tmp_path, "futures = [cm.submit(wait, folder, x) for x in range(3)]", 3)
    kernels.attach(mesh.folder, "book")
    futures = cm.attach()
    (tmp_path / "go").touch()
    cm.wait(futures)
    del futures
    until(no_jobs_are_kept, "an empty list of jobs")


def test_a_map_goes_on_through_the_deaths_of_kernel_and_hub(mesh: Mesh, tmp_path: Path) -> None:
    leave_behind(mesh, tmp_path, "results = cm.map(wait, [folder] * 6, range(6))", 6)
    mesh.kill_hub()
    kernels.attach(mesh.folder, "book")
    (tmp_path / "go").touch()
    assert cm.attach().result(30) == [x * x for x in range(6)]
    until(no_jobs_are_kept, "an empty list of jobs")
