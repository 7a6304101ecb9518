"""Distributed cells on real workers: time limits, deaths, Stop, background."""

from pathlib import Path

import pytest

from .conftest import Kernel


@pytest.fixture
def engine_name() -> str:
    return "embedded"


@pytest.fixture
def mesh(kernel: Kernel) -> Kernel:
    kernel.ok("%load_ext cellmesh\nimport cellmesh as cm\n%mesh start -n 2")
    return kernel


def test_timeout_says_what_still_ran(mesh: Kernel) -> None:
    shown = mesh.run(
        "%%distributed --timeout 0.5\nimport os, time\n"
        "if os.environ['CELLMESH_WORKER'] == '1': time.sleep(30)"
    )
    assert shown.error.startswith("TimeoutError: ")
    assert "it still ran on worker 1" in shown.error
    mesh.ok("%%distributed --out ys\n1")
    assert mesh.ok("ys").result == "[1, 1]"


def test_the_first_failure_shows_at_once(mesh: Kernel) -> None:
    shown = mesh.run(
        "%%distributed\nimport os, time\nif os.environ['CELLMESH_WORKER'] == '1': 1 / 0\ntime.sleep(1)"
    )
    assert (
        "cellmesh: worker 1 failed: ZeroDivisionError: division by zero (1 other still at work)"
        in shown.stderr
    )
    assert shown.error == "ZeroDivisionError: division by zero"


def test_a_replaced_worker_is_new(mesh: Kernel) -> None:
    mesh.ok("%%distributed --setup\nready = True")
    mesh.ok("%%distributed\nx = 1")
    mesh.run("%%rank [1]\nimport os\nos.kill(os.getpid(), 9)")
    shown = mesh.ok("%%distributed --out ys\nready, 'x' in globals()")
    assert "worker 1 is new: its variables are gone (setup cells were run again)" in shown.stderr
    assert mesh.ok("ys").result == "[(True, True), (True, False)]"
    assert "new" not in mesh.ok("%%distributed\nready").stderr


def test_a_failure_in_the_background_is_told(mesh: Kernel) -> None:
    mesh.ok("%%rank [0] --background\nimport time\ntime.sleep(0.3)\n1 / 0")
    shown = mesh.ok("import time\ntime.sleep(1.5)")
    assert "worker 0 failed: ZeroDivisionError: division by zero" in shown.stderr


def test_names_of_a_background_cell_are_no_false_alarm(mesh: Kernel) -> None:
    mesh.ok("%%distributed --background\nimport time\ntime.sleep(0.5)\nlate = 4")
    mesh.ok("%%distributed --out ys\nlate")
    assert mesh.ok("ys").result == "[4, 4]"


def test_futures_are_captured_as_their_values(mesh: Kernel) -> None:
    mesh.ok("import numpy as np\nref = cm.put(np.ones(1_000_000))")
    mesh.ok("%%distributed --out ys\nfloat(ref.sum())")
    assert mesh.ok("ys").result == "[1000000.0, 1000000.0]"


def test_stop_in_a_cell(mesh: Kernel) -> None:
    mesh.ok("%%distributed\nx = 1")
    shown = mesh.start("%%distributed\nimport time\nprint('in')\ntime.sleep(60)")
    mesh.wait_until(lambda: "[0,1] in" in shown.stdout or shown.stdout.count("in") == 2)
    mesh.interrupt()
    mesh.finish(shown, timeout=10)
    assert shown.error.startswith("KeyboardInterrupt")
    assert "cellmesh/kernel" not in shown.traceback
    mesh.ok("%%distributed --out ys\nx")
    assert mesh.ok("ys").result == "[1, 1]"


def test_instances_that_come_back_leave_their_class_alone(mesh: Kernel) -> None:
    mesh.ok("k = 1\nclass A:\n    def m(self): return k")
    mesh.ok("%%distributed --out made\nA()")
    mesh.ok("k = 5")
    assert mesh.ok("type(made[0]) is A, made[0].m(), A().m()").result == "(True, 5, 5)"


def test_a_crowd_of_workers_is_warned_of_and_refused_where_it_cannot_fit(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CELLMESH_CPUS", "1")
    kernel: Kernel = request.getfixturevalue("kernel")
    kernel.ok("import cellmesh as cm")
    assert kernel.ok("cm.start(4)").stderr == ""
    assert "starting 5 processes on 1 core: " in kernel.ok("cm.start(5)").stderr
    assert kernel.ok("cm.start(5)").stderr == ""  # they are there
    shown = kernel.run("cm.start(1_000_000)")
    assert shown.error.startswith("EngineError: 1000000 workers are 1000000 processes, which take 25000 GB")
    assert kernel.ok("len(cm.start())").result == "5"


def test_a_cell_that_uses_a_future_whose_call_failed_says_so(mesh: Kernel) -> None:
    mesh.ok("lost = cm.submit(lambda: 1 / 0)")
    shown = mesh.run("%%distributed\nprint(lost)")
    assert "`lost` has no value to send: its call failed with ZeroDivisionError" in shown.error


def test_a_call_whose_worker_died_counts_as_failed(mesh: Kernel) -> None:
    shown = mesh.ok(
        "import os, time\n"
        "lost = cm.submit(lambda: (time.sleep(1.5), os._exit(3)), retries=0)\n"
        "cm.wait([lost])\n"
        "lost"
    )
    assert "failed, WorkerLost" in shown.result
    assert "1/1, 1 failed" in mesh.ok("cm.jobs()").result + shown.stdout + shown.stderr
