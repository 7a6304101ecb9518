"""What a person sees of an error that nobody caught: their lines here and on the worker, and none of ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Kernel

BEGIN = """import cellmesh as cm
def bad(x=0):
    return 1 / x
def outer(x):
    return cm.submit(bad, x).result()
def endless():
    yield 1
    raise KeyError('mine')
"""
HERE = r"-+> \d+ (.*)"

CALLS: list[tuple[str, list[str]]] = [
    ("cm.submit(bad).result()", ["return 1 / x"]),
    ("await cm.submit(bad)", ["return 1 / x"]),
    ("cm.map(bad, [0]).result()", ["return 1 / x"]),
    ("list(cm.map(bad, iter([0])))", ["return 1 / x"]),
    ("async for y in cm.map(bad, [0]): pass", ["return 1 / x"]),
    ("dict(cm.map(bad, [0]).as_completed())", ["return 1 / x"]),
    ("cm.submit(outer, 0).result()", ["return cm.submit(bad, x).result()", "return 1 / x"]),
    ("cm.submit(abs, cm.submit(bad)).result()", ["return 1 / x"]),
    ("list(cm.map(abs, endless()))", ["raise KeyError('mine')"]),
    ("cm.map(bad, [0], timeut=3)", []),
    ("cm.map(bad, [0], kwargs=3)", []),
    ("cm.submit(bad, retry_on=3)", []),
    ("cm.start(-3)", []),
    ("cm.Mapp", []),
]


def test_a_cell_shows_its_own_line_then_the_workers(kernel: Kernel) -> None:
    kernel.ok(BEGIN)
    for call, lines in CALLS:
        text = kernel.run(call).plain_traceback
        assert [line.strip() for line in re.findall(HERE, text)] == [call, *lines]


def test_an_error_raised_again_shows_only_the_line_that_did(kernel: Kernel) -> None:
    kernel.ok(BEGIN + "future = cm.submit(bad)")
    kernel.run("future.result() # first")
    shown = kernel.run("future.result() # second")
    assert "# second" in shown.traceback
    assert "# first" not in shown.traceback


def test_a_fault_of_ours_is_shown_whole(kernel: Kernel) -> None:
    kernel.ok(BEGIN + "from cellmesh.kernel import options\ndel options.DEFAULT")
    assert "calls.py" in kernel.run("cm.submit(bad)").traceback


def test_a_time_limit_of_asyncio_is_not_taken_for_stop(kernel: Kernel) -> None:
    kernel.ok(BEGIN + "import asyncio, time")
    shown = kernel.run("async with asyncio.timeout(0.2): await cm.submit(time.sleep, 2)")
    assert "TimeoutError" in shown.error or shown.error == ""  # inline, it was over at the call


@pytest.mark.parametrize("call", ["cm.submit(outer, 0).result()", "cm.map(bad, [0], timeut=3)"])
def test_a_script_ends_with_its_own_lines(call: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(BEGIN + call)
    environ = {**os.environ, "CELLMESH_ENGINE": "inline", "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, script], env=environ, capture_output=True, text=True, check=False)
    files = re.findall(r'File "([^"]+)"', ended.stderr)
    assert files
    assert set(files) == {str(script)}
    assert ended.stderr.count("Traceback") == 1
