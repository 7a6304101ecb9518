"""Stop, and what goes on after a kernel restart, with real workers."""

import pytest

from .conftest import Kernel, Shown

LOAD = "import cellmesh as cm, time"
SLEEP = (
    "def nap(s):\n    import time; print('in', flush=True)\n"
    "    for _ in range(int(s * 100)): time.sleep(0.01)\n    return s"
)


@pytest.fixture
def engine_name() -> str:
    return "embedded"


@pytest.fixture(autouse=True)
def _as_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMESH_GRACE", "10")


def stopped(kernel: Kernel, code: str) -> Shown:
    """Run a cell, press Stop once a worker (or the cell itself) has said that it is in."""
    cell = kernel.start(code)
    waits = "futs" not in code  # then its progress says when it has begun to wait
    kernel.wait_until(lambda: "in" in cell.stdout and (not waits or bool(cell.of("display_data"))))
    kernel.interrupt()
    return kernel.finish(cell)


@pytest.mark.parametrize(
    "code",
    [
        "cm.submit(nap, 60).result()",
        "cm.map(nap, [60] * 10).result()",
        "for y in cm.map(nap, [60] * 10): pass",
        "futs = [cm.submit(nap, 60) for _ in range(4)]\ntime.sleep(60)",
        "await cm.submit(nap, 60)",
        "import asyncio; await asyncio.sleep(0); cm.submit(nap, 60).result()",
    ],
)
def test_stop_cancels_what_the_cell_launched(kernel: Kernel, code: str) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    kernel.ok("cm.submit(nap, 0).result()")
    stopped(kernel, code)
    assert kernel.ok("[cm.submit(nap, 0).result(5) for _ in range(4)]").result == "[0, 0, 0, 0]"


def test_after_stop_of_many_submits_the_next_cells_say_nothing(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    many = "futs = [cm.submit(nap, 60) for _ in range(300)]\nfor fut in futs: fut.result()"
    for code in (
        many,
        "futs = 0\nwhile True: cm.submit(nap, [0]); print('in')",
        "futs = 0\nwhile True: cm.submit(nap, 0); print('in')",
    ):
        stopped(kernel, code)
        for after in ("1", "futs = None", "time.sleep(0.3)", "cm.submit(nap, 0).result()"):
            assert kernel.ok(after).stderr == ""


def test_waiting_for_another_cells_job_is_only_abandoned(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    kernel.ok("fut = cm.submit(nap, 6)")
    cell = kernel.start("fut.result()")
    kernel.wait_until(lambda: bool(cell.of("display_data")))  # its progress: it is waiting
    kernel.interrupt()
    kernel.finish(cell)
    assert "goes on; cm.cancel(1) cancels it." in cell.stderr
    assert kernel.ok("fut.result()").result == "6"


def test_a_background_job_is_only_abandoned(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    stopped(kernel, "r = cm.map(nap, [1.5, 1.5], background=True); r.result()")
    assert kernel.ok("r.result()").result == "[1.5, 1.5]"


def test_a_limit_on_waiting(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    assert kernel.run("cm.submit(nap, 2).result(0.1)").error.startswith("TimeoutError")


def test_cancelled_futures_free_their_workers(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    kernel.ok("futs = [cm.submit(nap, 60) for _ in range(6)]; time.sleep(0.3)")
    assert kernel.ok("[f.cancel() for f in futs], futs[0].cancelled()").result.endswith("True)")
    assert kernel.run("futs[0].result()").error.startswith("CancelledError")
    assert kernel.ok("cm.submit(nap, 0).result(10)").result == "0"


def test_the_progress_line_does_not_go_on_after_stop(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    shown = kernel.start("cm.map(nap, [0.1, 60, 60, 60]).result()")
    kernel.wait_until(lambda: bool(shown.of("display_data")))
    kernel.interrupt()
    kernel.finish(shown)
    last = shown.of("display_data", "update_display_data")[-1]["content"]["data"]
    assert ": stopped after " in last["text/plain"]
    assert "/4 done)" in last["text/plain"]
    assert "<progress" not in last["text/html"]


@pytest.mark.parametrize(
    "call",
    [
        "cm.map(nap, [60, 60]).result()",
        "cm.submit(nap, 60).result()",
        "await cm.submit(nap, 60)",
        "await cm.map(nap, [60, 60])",
    ],
)
def test_a_stopped_wait_shows_the_cells_line_and_nothing_of_ours(kernel: Kernel, call: str) -> None:
    kernel.ok(LOAD + "\n" + SLEEP)
    shown = stopped(kernel, call)
    assert shown.error.startswith("KeyboardInterrupt")
    assert call.partition("(")[0].split(".")[-1] in shown.traceback
    assert "cellmesh" not in shown.traceback
    assert "asyncio" not in shown.traceback


def test_a_stopped_cell_is_shown_once(kernel: Kernel) -> None:
    kernel.ok("%load_ext cellmesh")
    shown = stopped(kernel, "%%distributed -n 1\nimport time\nprint('in')\ntime.sleep(60)")
    assert shown.error.startswith("KeyboardInterrupt")
    assert shown.traceback.count("time.sleep(60)") <= 1


def test_attaching_to_what_was_taken_shows_its_log(kernel: Kernel) -> None:
    kernel.ok("%load_ext cellmesh\n" + LOAD + "\n" + SLEEP)
    kernel.ok("cm.map(nap, [0]).result()")
    kernel.ok("cm.map(abs, [0]).result()")
    shown = kernel.ok("%mesh attach 1").stdout
    assert shown.startswith("cellmesh: job 1 (map nap) has ended and its results were taken; this is what")
    assert shown.endswith("in\n")
    assert kernel.ok("%mesh attach 2").stdout.endswith("taken; it printed nothing\n")


def test_a_lost_item_is_named(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\ndef die(x):\n    import os\n    if x == 'c': os._exit(1)\n    return x")
    kernel.ok("r = cm.map(die, 'abcd', retries=0); r.wait()")
    shown = kernel.run("r[2]")
    assert shown.error.startswith("WorkerLost")
    assert "cellmesh: item 2: 'c'" in shown.traceback


def test_a_restarted_kernel_hears_of_what_runs_first_and_of_nothing_stopped(kernel: Kernel) -> None:
    key = "import os; os.environ['JPY_SESSION_NAME'] = '/tmp/greeted.ipynb'\n"
    kernel.ok(key + LOAD + "\n" + SLEEP)
    kernel.ok("def ready(x): return x\ndone = cm.map(ready, [1, 2]); done.wait()")
    kernel.ok("def bad(x): return 1 / x\nbroken = cm.map(bad, [0, 2]); broken.wait()")
    stopped(kernel, "dropped = cm.map(time.sleep, [60, 60]); print('in', flush=True); dropped.result()")
    code = "kept = [one.id for s in dropped._session.engine.status().sessions for one in s.jobs]"
    kernel.ok(f"{code}\nwhile dropped.job.id in kept:\n    time.sleep(0.01); {code}")
    kernel.ok("long = cm.map(nap, [0, 9, 9, 9]); long[0]; cm.cancel(cm.map(nap, [30, 30], background=True))")
    kernel.restart()
    lines = kernel.ok(key + "%load_ext cellmesh").stdout.splitlines()
    assert lines[1].startswith("job 4 (map nap) running 1/4: ")
    assert lines[2].startswith("job 1 (map ready) finished, results waiting: ")
    assert lines[3] == "and 1 more job: %mesh jobs lists them"
    kernel.ok("import cellmesh as cm; cm.cancel(4)")


def test_results_survive_a_kernel_restart(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "import os; os.environ['JPY_SESSION_NAME'] = '/tmp/survivor.ipynb'\n"
    kernel.ok(key + LOAD + "\n" + SLEEP)
    kernel.ok("def f(x):\n    import time; time.sleep(0.2); print('item', x); return x * x")
    kernel.ok("r = cm.map(f, range(20)); r[0]")
    kernel.restart()
    kernel.ok(key + LOAD)
    assert "map f" in kernel.ok("cm.jobs()").result
    shown = kernel.ok("cm.attach().result() == [x * x for x in range(20)]")
    assert shown.result == "True"
    assert "item 19" in shown.stdout
    assert "item 0" in shown.stdout
    assert "no job that runs" in kernel.run("cm.attach()").error
