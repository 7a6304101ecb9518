"""The time that one call may run, and that a wait may take, in a real kernel."""

import pytest

from .conftest import Kernel

LOAD = "import cellmesh as cm, time\ndef nap(x):\n    time.sleep(x)\n    return x"


@pytest.fixture
def engine_name() -> str:
    """The inline engine does not interrupt what takes too long."""
    return "embedded"


def test_a_call_that_runs_too_long_ends_with_a_timeout(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    shown = kernel.run("cm.submit(nap, 600, timeout=0.5).result()")
    assert shown.error.startswith("TimeoutError: ")
    assert "0.5 s" in shown.error
    kernel.ok("@cm.task(timeout=0.5)\ndef limited(x):\n    time.sleep(x)\n    return x")
    assert kernel.run("limited.submit(600).result()").error.startswith("TimeoutError: ")
    assert kernel.ok("limited.options(timeout=60).submit(1).result()").result == "1"


def test_only_the_slow_item_of_a_map_is_out_of_time(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("r = cm.map(nap, [0, 0, 600, 0, 0], timeout=1)")
    assert kernel.run("r.result()").error.startswith("TimeoutError: ")
    assert kernel.ok("r[0], r[1], r[3], r[4]").result == "(0, 0, 0, 0)"
    assert "item 2" in kernel.run("r[2]").traceback


def test_queued_calls_have_all_their_time(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("cm.map(nap, [0.4] * 8, timeout=1.5).result() == [0.4] * 8").result == "True"


@pytest.mark.parametrize("function", ["time.sleep", "functools.partial(time.sleep)"])
def test_what_is_not_written_in_python_is_interrupted_too(kernel: Kernel, function: str) -> None:
    kernel.ok(LOAD + "\nimport functools, os\nbefore = set(cm.map(lambda _: os.getpid(), range(50)))")
    shown = kernel.run(f"cm.submit({function}, 600, timeout=0.5).result()")
    assert shown.error.startswith("TimeoutError: ")
    after = kernel.ok("after = set(cm.map(lambda _: os.getpid(), range(50)))\nafter <= before, after, before")
    assert after.result.startswith("(True")  # no worker had to be replaced
