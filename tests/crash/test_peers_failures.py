"""Failures that peers have had and that have no other place here (see `README.md`)."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
from crash.killing import Mesh, kill, reached, until
from support import kernels

import cellmesh as cm


def test_nothing_is_dropped_for_a_kernel_that_pauses(mesh: Mesh, tmp_path: Path) -> None:
    """A default ROUTER silently dropped 17,500 of 20,000 messages to a peer that paused for 2 s."""
    code = f"""
folder = pathlib.Path({str(tmp_path)!r})
futures = [cm.submit(abs, -x) for x in range(5000)]
(folder / "launched").touch()
found = [future.result() for future in futures]
(folder / "found").write_text(str(found == list(range(5000))))
"""
    kernel = kernels.start(mesh.folder, "book", code)
    reached(tmp_path / "launched")
    kill(kernel.pid, signal.SIGSTOP)

    def settled() -> bool:
        jobs = [job for one in mesh.status().sessions if one.id == "book" for job in one.jobs]
        return bool(jobs) and all(job.running == 0 and job.done == job.items for job in jobs)

    until(settled, "the end of its calls")
    kill(kernel.pid, signal.SIGCONT)
    assert kernel.wait(60) == 0
    assert (tmp_path / "found").read_text() == "True"
    kernels.attach(mesh.folder, "book")  # a session of its own would stay for its grace time


def test_arguments_do_not_pass_through_the_hub(mesh: Mesh) -> None:
    """ipyparallel's controller grew by 400 MB for 400 MB of input."""
    cm.submit(len, b"").result(30)
    hub = psutil.Process(mesh.hub())
    before = hub.memory_info().rss
    futures = [cm.submit(len, bytes(40_000_000)) for _ in range(5)]
    assert [future.result(30) for future in futures] == [40_000_000] * 5
    assert hub.memory_info().rss - before < 40_000_000


def test_a_task_may_fork(mesh: Mesh) -> None:
    """Ray's get deadlocked in the forked workers of a DataLoader."""

    def forks() -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, range(-20, 0))

    found = [cm.submit(forks) for _ in range(4)]
    assert [future.result(30) for future in found] == [list(range(20, 0, -1))] * 4


def test_a_task_that_holds_the_interpreter_is_not_taken_for_dead(mesh: Mesh) -> None:
    """Dask's workers were killed when a task had held the GIL for the time of their heartbeat."""

    def hold() -> int:
        import ctypes

        libc = ctypes.PyDLL(None)  # PyDLL keeps the GIL, as bad extensions do
        return int(libc.usleep(900_000)) + int(libc.usleep(900_000)) + int(libc.usleep(900_000))

    assert cm.submit(hold, retries=0).result(30) == 0


def test_an_idle_pool_that_went_away_comes_back(mesh: Mesh) -> None:
    """Ray's calls hung for ever after its processes had been culled."""
    first = cm.submit(abs, -1)
    assert first.result(30) == 1
    for pid in mesh.anonymous():
        kill(pid)
    until(lambda: not mesh.anonymous(), "the end of the workers")
    assert cm.submit(abs, -2).result(30) == 2
