"""Where workers' output appears, in a real kernel with real workers."""

from pathlib import Path

import pytest

from .conftest import Kernel

LOAD = "import cellmesh as cm, time, sys"
MESH = """
import pickle
from cellmesh.kernel import attaching
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import TaskWire
def everywhere(source, **options):
    session = attaching.current()
    workers = session.ensure_mesh()
    job = session.launch("cell", "cell", **options)
    payload = pickle.dumps(CellCode(source, "<cell>", 0, ()))
    job.submit([TaskWire(w.number, "cell", payload, pool="mesh", worker=w.number) for w in workers], True)
    return job
"""


@pytest.fixture
def engine_name() -> str:
    return "embedded"


def test_text_is_labelled_and_equal_text_merged(kernel: Kernel) -> None:
    kernel.ok(LOAD + MESH)
    shown = kernel.ok(
        'everywhere(\'print("hello"); cellmesh_rank = 1; import sys; print("err", file=sys.stderr)\').wait()'
    )
    assert set(shown.stdout.splitlines()) <= {"[0] hello", "[1] hello", "[0,1] hello"}
    assert set(shown.stderr.splitlines()) <= {"[0] err", "[1] err", "[0,1] err"}
    assert shown.stderr


def test_a_background_job_prints_into_the_cell_that_launched_it(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def f():\n    import time\n    for n in range(3):\n        time.sleep(0.3); print('tick', n)")
    first = kernel.ok("fut = cm.submit(f, background=True)")
    second = kernel.ok("fut.result()")
    kernel.wait_until(lambda: "tick 2" in first.stdout)
    assert first.stdout == "tick 0\ntick 1\ntick 2\n"
    assert second.stdout == ""


def test_a_headless_run_shows_late_output_when_the_result_is_taken(kernel: Kernel, tmp_path: Path) -> None:
    kernel.ok(LOAD, live=False)
    gate = tmp_path / "gate"
    kernel.ok(
        f"import pathlib; gate = pathlib.Path({str(gate)!r})\n"
        "def f():\n    while not gate.exists(): time.sleep(0.01)\n    print('late'); return 1",
        live=False,
    )
    first = kernel.ok("fut = cm.submit(f)", live=False)
    kernel.ok("gate.touch()\nwhile not fut.done(): time.sleep(0.01)", live=False)
    taken = kernel.ok("fut.result()", live=False)
    assert (first.stdout, taken.stdout) == ("", "late\n")
    assert "output of cell [3]" in taken.stderr


def test_rich_results_displays_and_updates(kernel: Kernel) -> None:
    kernel.ok(LOAD + MESH)
    kernel.ok("attaching.current().ensure_mesh(1)")
    source = (
        "from IPython.display import display, HTML\\n"
        "h = display(HTML('<b>1</b>'), display_id='same')\\n"
        "h.update(HTML('<b>2</b>'))\\n"
        "6 * 7"
    )
    shown = kernel.ok(f"everywhere('''{source}''').wait()")
    [display] = shown.of("display_data")
    [update] = shown.of("update_display_data")
    assert display["content"]["data"]["text/html"] == "<b>1</b>"
    assert update["content"]["data"]["text/html"] == "<b>2</b>"
    assert display["content"]["transient"] == update["content"]["transient"]
    assert display["content"]["transient"]["display_id"].startswith("cellmesh-")
    assert "[0] Out: 42\n" in shown.stdout


def test_progress_shows_itself_and_ends_in_one_line(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    shown = kernel.ok("cm.map(lambda x: __import__('time').sleep(0.4), range(8)).result()[:1]")
    [line] = shown.of("display_data")
    updates = [m["content"]["data"]["text/plain"] for m in shown.of("update_display_data")]
    assert line["content"]["data"]["text/plain"].startswith("cell [2] map <lambda>: ")
    assert updates[-1].startswith("cell [2] map <lambda>: 8/8, done in ")


def test_headless_progress_is_one_line(kernel: Kernel) -> None:
    kernel.ok(LOAD, live=False)
    shown = kernel.ok("cm.map(lambda x: __import__('time').sleep(0.7), range(4)).result()[:1]", live=False)
    assert shown.stderr.startswith("cellmesh: cell [2] map <lambda>: 4/4, done in ")
    assert shown.stderr.count("\n") == 1
    assert not shown.of("display_data")


def test_quick_work_shows_no_progress(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\ncm.submit(abs, 1).result()")
    shown = kernel.ok("cm.map(abs, range(100)).result()[:1]")
    assert (shown.stderr, shown.of("display_data")) == ("", [])


def test_what_the_cell_printed_before_comes_before(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\ndef say(x): print('worker', x)")
    shown = kernel.ok("for x in range(5):\n    print('cell', x)\n    cm.submit(say, x).result()")
    assert shown.stdout.splitlines() == [f"{who} {x}" for x in range(5) for who in ("cell", "worker")]
