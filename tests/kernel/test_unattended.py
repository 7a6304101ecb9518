"""Failures of launches that nobody waits for."""

import os
import subprocess
import sys

from .conftest import Kernel

LOAD = "import cellmesh as cm\ndef fail(x): raise ValueError('no')\n"
LINE = "cellmesh: map fail: 2 of 2 items failed, first: ValueError: no (item 0); .result() raises it\n"


def over(kernel: Kernel, name: str) -> None:
    """Wait for a job without asking for its results."""
    kernel.ok(f"import time\nwhile not {name}.job.finished: time.sleep(0.01)")


def test_a_map_that_nobody_asks_for_says_that_it_failed(kernel: Kernel) -> None:
    shown = kernel.ok(LOAD + "r = cm.map(fail, [1, 2])")
    over(kernel, "r")
    kernel.wait_until(lambda: bool(shown.stderr))
    assert shown.stderr == LINE
    assert kernel.run("r.result()").stderr == ""


def test_a_call_too(kernel: Kernel) -> None:
    shown = kernel.ok(LOAD + "f = cm.submit(fail, 1)")
    over(kernel, "f")
    kernel.wait_until(lambda: bool(shown.stderr))
    assert shown.stderr == (
        "cellmesh: submit fail: 1 of 1 calls failed, first: ValueError: no; .result() raises it\n"
    )


def test_what_is_asked_for_says_it_once(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    shown = kernel.run("r = cm.map(fail, [1, 2])\nwhile not r.job.finished: pass\nr.result()")
    assert (shown.error, shown.stderr) == ("ValueError: no", "")
    shown = kernel.ok("f = cm.submit(fail, 1)\nwhile not f.done(): pass\nprint(type(f.exception()).__name__)")
    assert (shown.stdout, shown.stderr) == ("ValueError\n", "")
    assert kernel.ok("1").stderr == ""


def script(code: str, engine: str) -> subprocess.CompletedProcess[str]:
    environ = dict(os.environ, CELLMESH_ENGINE=engine)
    code = "import time\n" + LOAD + code
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )


def test_a_script_says_it_as_it_ends(engine_name: str) -> None:
    code = (
        "r = cm.map(fail, [1, 2])\nwhile not r.job.finished: time.sleep(0.01)\n"
        "f = cm.submit(fail, 1)\nwhile not f.done(): time.sleep(0.01)\n"
        "good = cm.map(abs, [1]).result()"
    )
    lines = script(code, engine_name).stderr.splitlines(keepends=True)
    assert lines == [
        LINE,
        "cellmesh: submit fail: 1 of 1 calls failed, first: ValueError: no; .result() raises it\n",
    ]


def test_a_script_says_what_its_end_cuts_off() -> None:
    done = script("r = cm.map(time.sleep, [60, 60]); f = cm.submit(time.sleep, 60)", "embedded")
    assert done.stderr == "cellmesh: 2 jobs were still running and were cancelled as the script ended\n"
