"""An object lives as long as somebody refers to it, and not longer.

Small objects are unlinked when they are free; their makers keep the memory of larger ones for a while.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash.killing import Mesh, gone, kill, reached, until

import cellmesh as cm
from cellmesh.kernel import doctor
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire import folders
from cellmesh.widgets import text, viewmodel

Look = Callable[[], list[str]]
SMALL, LARGE = 25_000, 1_000_000  # numbers of 8 bytes


def settle(mesh: Mesh) -> None:
    """What was dropped is told to the hub, and the hub has acted upon it."""
    gc.collect()
    mesh.session().drain_claims()
    mesh.status()


def kept(name: str) -> bool:
    """Whether a segment may be there although it is free."""
    return segments.has_mark(name, segments.RECYCLABLE)


def total(array: Any) -> float:
    return float(array.sum())


def ones(size: int) -> Any:
    import os

    import numpy as np

    return os.getpid(), np.ones(size)


def test_the_last_reference_frees_an_object_but_not_what_is_seen_of_it(mesh: Mesh, segments_of: Look) -> None:
    ref = cm.put(np.arange(SMALL))
    other = ref
    view = ref.result()[5:]
    assert cm.submit(total, ref).result() == SMALL * (SMALL - 1) / 2
    repr(ref)
    del ref
    settle(mesh)
    assert len(segments_of()) == 1
    del other
    settle(mesh)
    until(lambda: not segments_of(), "the segment's end")
    assert list(view[:3]) == [5, 6, 7]
    assert not view.flags.writeable


def test_what_is_dropped_goes_though_nothing_else_happens(mesh: Mesh, segments_of: Look) -> None:
    ref, future, results = cm.put(np.ones(SMALL)), cm.submit(ones, SMALL), cm.map(ones, [SMALL] * 3)
    assert future.result()[1].all()
    assert len(results.result()) == 3
    assert len(segments_of()) == 5
    del ref, future, results
    gc.collect()
    until(lambda: not segments_of(), "their end")


@pytest.mark.parametrize("dies", [False, True], ids=["", "the hub dies"])
def test_memory_kept_for_the_next_object_is_told_of_and_given_back(
    mesh: Mesh, segments_of: Look, dies: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    refs = [cm.put(np.ones(LARGE)) for _ in range(3)]
    made = [cm.submit(ones, LARGE) for _ in range(3)]
    cm.wait(made)
    assert mesh.status().objects >= 6 * 8 * LARGE
    assert mesh.status().objects_free == 0
    del refs, made
    gc.collect()
    until(lambda: mesh.status().objects_free >= 6 * 8 * LARGE, "all of them being free")
    assert "MB of objects (" in text.mesh(viewmodel.mesh_rows(mesh.status(), ""))
    doctor.main()
    assert "; 6 segments in " in capsys.readouterr().out
    if dies:
        mesh.kill_hub()
    until(lambda: not segments_of(), "the end of what was kept")


def test_what_workers_keep_goes_with_those_that_die_while_the_hub_is_away(
    mesh: Mesh, segments_of: Look
) -> None:
    made = [cm.submit(ones, LARGE) for _ in range(3)]
    cm.wait(made)
    del made
    gc.collect()
    until(lambda: mesh.status().objects_free >= 3 * 8 * LARGE, "all of them being free")
    hub, workers = mesh.hub(), mesh.anonymous()
    kill(hub)
    for worker in workers:
        kill(worker)
    until(lambda: not segments_of(), "the end of what they kept")


def test_results_go_with_their_futures(mesh: Mesh, segments_of: Look) -> None:
    future = cm.submit(ones, SMALL)
    results = cm.map(ones, [SMALL] * 3)
    view = future.result()[1]
    assert [len(array) for _, array in results] == [SMALL] * 3
    del future, results
    until(lambda: settle(mesh) or not segments_of(), "the segments' end")
    assert view.all()


def test_what_functions_have_captured_goes_with_their_calls(mesh: Mesh, segments_of: Look) -> None:
    def reader(value: float) -> Callable[[int], float]:
        table = np.full(LARGE, value)
        return lambda place: float(table[place])

    for i in range(5):
        called, mapped = cm.submit(reader(i), -1), cm.map(reader(i + 0.5), range(3))
        assert (called.result(), mapped.result()) == (i, [i + 0.5] * 3)
    del called, mapped
    gc.collect()
    until(lambda: all(kept(name) for name in segments_of()), "nothing but what is kept")
    until(lambda: mesh.status().objects == mesh.status().objects_free, "nothing in use")
    assert cm.submit(total, np.ones(LARGE)).result() == LARGE


def test_putting_in_a_loop_does_not_pile_up(mesh: Mesh, segments_of: Look) -> None:
    array = np.zeros(LARGE)
    most = 0
    for i in range(200):
        array[0] = i
        ref = cm.put(array)
        assert ref.result()[0] == i
        most = max(most, len(segments_of()))
    assert most < 100, "the hub may be some tenths of a second behind, not more"
    for _ in range(100):
        ref = cm.put(array[:SMALL])
    settle(mesh)
    until(lambda: [ref.payload().name] == [n for n in segments_of() if not kept(n)], "the rest's end")


@pytest.fixture(params=["memory", "disk"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where objects go; before there is a hub."""
    if request.param == "disk":
        monkeypatch.setenv("CELLMESH_STORE_LIMIT", "1MB")
    return str(request.param)


# An iterator over a folder that Stop interrupts is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_stop_at_any_point_of_put_leaves_nothing(place: str, mesh: Mesh, segments_of: Look) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    array, chance = np.zeros(LARGE), random.Random(0)
    stopped, made = 0, []
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for _ in range(200):
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 0.01))
                made.append(cm.put(array))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                stopped += 1
            made.clear()  # now that no Stop is on its way: Python loses those that come in a finalizer
    finally:
        signal.signal(signal.SIGALRM, before)
    assert stopped
    until(lambda: settle(mesh) or all(n.endswith(segments.FREE) for n in segments_of()), "nothing in use")
    spilled = folders.spill_folder(folders.data_folder(mesh.folder.name))
    assert [path.name for path in spilled.glob("*")] == []
    assert cm.submit(total, cm.put(np.ones(LARGE))).result() == LARGE


def test_stop_at_any_point_of_telling_what_was_dropped_loses_nothing(mesh: Mesh, segments_of: Look) -> None:
    session = mesh.session()

    def stopped(step: int) -> bool:
        """Tell, with a Stop before that instruction of it; whether there were so many."""
        left = step

        def stop(frame: Any, event: str, _: object) -> Any:
            nonlocal left
            frame.f_trace_opcodes = True
            left -= event == "opcode"
            if left == 0:
                raise KeyboardInterrupt
            return stop

        before = sys.gettrace()
        sys.settrace(stop)
        try:
            session.drain_claims()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    kept = []
    with ThreadPoolExecutor(1) as other:  # an exception between any two instructions may upset its thread
        for step in count(1):
            ref = cm.put(np.ones(SMALL))
            kept.append(ref.payload().name)
            del ref
            if not other.submit(stopped, step).result():
                break
    assert len(kept) > 50
    until(lambda: settle(mesh) or not segments_of(), "nothing in use")


def test_a_task_keeps_what_it_was_given(mesh: Mesh, segments_of: Look, tmp_path: Path) -> None:
    def later(ready: Path, go: Path, array: Any) -> float:
        import time

        ready.touch()
        while not go.exists():
            time.sleep(0.01)
        return float(array.sum())

    cells = len(os.sched_getaffinity(0)) + 2  # some run, some wait
    ref = cm.put(np.ones(LARGE))
    futures = [cm.submit(later, tmp_path / f"{i}", tmp_path / "go", ref) for i in range(cells)]
    del ref
    reached(tmp_path / "0")
    settle(mesh)
    for _ in range(3):  # were it free, one of these would be written over it
        cm.put(np.zeros(LARGE))
    (tmp_path / "go").touch()
    assert [future.result() for future in futures] == [LARGE] * cells


def test_an_object_keeps_those_that_it_refers_to(mesh: Mesh, segments_of: Look) -> None:
    outer = cm.put([cm.put(np.ones(SMALL)), np.zeros(SMALL)])
    settle(mesh)
    assert len(segments_of()) == 2
    assert cm.submit(lambda pair: total(pair[0]), outer).result() == SMALL
    del outer
    settle(mesh)
    until(lambda: not segments_of(), "both segments' end")


def test_an_exception_lets_go_of_what_it_held(mesh: Mesh, segments_of: Look) -> None:
    def fails(array: Any) -> None:
        raise ValueError(f"not {len(array)}")

    ref = cm.put(np.ones(SMALL))
    future = cm.submit(fails, ref)
    error = future.exception()
    assert str(error) == f"not {SMALL}"
    del ref, future
    until(lambda: settle(mesh) or not segments_of(), "the segment's end")
    assert error is not None


def test_an_object_outlives_the_worker_that_made_it(mesh: Mesh, segments_of: Look) -> None:
    future = cm.submit(ones, LARGE)
    pid = future.result()[0]
    del_me = [cm.submit(ones, LARGE) for _ in range(4)]
    cm.wait(del_me)
    makers_of_free = {future.result()[0] for future in del_me}
    del del_me
    settle(mesh)
    for process in {pid, *makers_of_free}:
        kill(process)
    until(lambda: all(gone(process) for process in {pid, *makers_of_free}), "the workers' end")
    assert cm.submit(lambda pair: total(pair[1]), future).result() == LARGE
    assert future.result()[1].sum() == LARGE
    until(lambda: settle(mesh) or len(segments_of()) == 1, "the end of what they had kept")


def test_a_hub_that_dies_leaves_no_segment_and_takes_none(mesh: Mesh, segments_of: Look) -> None:
    living = cm.put(np.ones(LARGE))
    results = [cm.submit(ones, LARGE) for _ in range(4)]
    cm.wait(results)
    small = [cm.put(np.zeros(SMALL)) for _ in range(5)]
    del small, results[1:]
    gc.collect()
    mesh.session().drain_claims()
    mesh.kill_hub()
    again = [cm.put(np.full(LARGE, i)) for i in range(3)]
    assert results[0].result()[1].all()
    assert living.result().all()
    assert [int(ref.result()[-1]) for ref in again] == [0, 1, 2]
    assert cm.submit(total, living).result() == LARGE
    del living, results, again
    free = len(os.sched_getaffinity(0)) * 4 + 4
    until(lambda: settle(mesh) or len(segments_of()) <= free, "the end of what was dropped")
    assert all(kept(name) for name in segments_of())


_KILLED = """
import os, sys, signal
import numpy as np, cellmesh as cm
def hold(x):
    import numpy as np
    return np.ones(300_000)
refs = [cm.put(np.ones(n)) for n in (25_000, 1_000_000)]
for _ in range(3):
    cm.put(np.ones(1_000_000))
futures = [cm.submit(hold, ref) for ref in refs]
assert futures[0].result().all()
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_script_leaves_nothing(runtime: Path) -> None:
    import subprocess
    import sys

    from tests.support import leftovers

    done = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ready\n", done.stderr
    pids = [process.pid for process in leftovers.processes(runtime)]
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []


def test_the_memory_of_freed_results_is_used_again(mesh: Mesh, segments_of: Look) -> None:
    for _ in range(12):
        assert cm.submit(ones, LARGE).result()[1].all()
        settle(mesh)
    assert len(segments_of()) <= 2 * len(os.sched_getaffinity(0)) + 2
