"""How jobs ended, in every place that tells it; with real workers."""

import pytest

from .conftest import Kernel

BEGIN = """import cellmesh as cm, time, os
def nap(x):
    time.sleep(x)
    return 1 / (x - 1) if x else x
def die(x): os._exit(3)
"""
ENDINGS = [
    ("finished", "r = cm.submit(nap, 0); r.exception()"),
    ("failed", "r = cm.submit(nap, 1); r.exception()"),
    ("failed", "r = cm.submit(die, 1, retries=0); r.exception()"),
    ("timed out", "r = cm.submit(nap, 600, timeout=0.3); r.exception()"),
    ("cancelled", "r = cm.submit(nap, 600); r.cancel()"),
    ("finished", "r = cm.map(nap, [0, 0]); r.wait()"),
    ("failed", "r = cm.map(nap, [0, 1]); r.wait()"),
    ("timed out", "r = cm.map(nap, [0, 600], timeout=0.3); r.wait()"),
    ("cancelled", "r = cm.map(nap, [0, 600]); r[0]; r.cancel(); r.wait()"),
]


@pytest.fixture
def engine_name() -> str:
    return "embedded"


def test_the_state_of_what_is_over_says_how_it_ended(kernel: Kernel) -> None:
    kernel.ok(BEGIN)
    wanted = [state for state, _ in ENDINGS]
    for number, (_, code) in enumerate(ENDINGS):
        kernel.ok(
            code.replace("r =", f"r{number} =").replace("r.", f"r{number}.").replace("r[", f"r{number}[")
        )
    kernel.ok("while not all(job.finished for job in cm.jobs()): time.sleep(0.01)")
    told = kernel.ok("print([row.state for row in cm.jobs().rows])").stdout
    assert told == f"{wanted}\n"
    told = kernel.ok("print([job.summary().rpartition(', ')[2] for job in cm.jobs()])").stdout
    assert told == f"{wanted}\n"


def test_the_hub_tells_the_same_of_what_nobody_has_taken(kernel: Kernel) -> None:
    kernel.ok(BEGIN)
    maps = [(state, code.replace("r[0]; ", "")) for state, code in ENDINGS if "map" in code]
    for number, (_, code) in enumerate(maps):
        kernel.ok(code.replace("r =", f"r{number} =").replace("r.", f"r{number}."))
    rows = "cm.kernel.attaching.current().engine.status().sessions[0].jobs"
    kernel.ok(
        f"import cellmesh.kernel.attaching\nwhile not all(job.finished for job in {rows}): time.sleep(0.01)"
    )
    shown = kernel.ok("%load_ext cellmesh\n%mesh").result
    told = [line for line in shown.splitlines() if "map nap" in line]
    assert len(told) == len(maps)
    for line, (state, _) in zip(told, maps, strict=True):
        assert f"  {state} " in line


def test_the_last_word_of_a_progress_line_is_that_the_time_was_up(kernel: Kernel) -> None:
    kernel.ok(BEGIN)
    shown = kernel.run("cm.submit(nap, 600, timeout=1.3).result()")
    last = shown.of("display_data", "update_display_data")[-1]["content"]["data"]["text/plain"]
    assert ": timed out after " in last
    assert "done in" not in last


def test_what_was_cancelled_says_so(kernel: Kernel) -> None:
    kernel.ok(BEGIN + "r = cm.map(nap, [0, 600, 600, 600]); r[0]; r.cancel(); r.wait()")
    assert kernel.run("r.result()").error.startswith("CancelledError: map nap was cancelled.")


def test_a_long_chain_of_calls_fails_without_a_recursion(kernel: Kernel) -> None:
    kernel.ok(
        BEGIN + "def gated(x):\n    while not os.path.exists('gate'): time.sleep(0.01)\n    return 1 / x"
    )
    kernel.ok("last = cm.submit(gated, 0)\nfor _ in range(3000): last = cm.submit(abs, last)")
    shown = kernel.run("open('gate', 'w').close(); last.result()")
    assert shown.error == "ZeroDivisionError: division by zero"
    assert shown.stderr == ""


def test_what_was_cancelled_is_nothing_to_come_back_to(kernel: Kernel) -> None:
    key = "os.environ['JPY_SESSION_NAME'] = '/tmp/cancelled.ipynb'\n"
    kernel.ok(BEGIN + key + "%load_ext cellmesh")
    kernel.ok("r = cm.submit(nap, 600)\nwhile not r.job.running: time.sleep(0.01)\nr.cancel()")
    code = "len([job for one in r._session.engine.status().sessions for job in one.jobs])"
    kernel.ok(f"while {code}: time.sleep(0.01)")
    assert "nap" not in kernel.ok("%mesh").result
    kernel.restart()
    assert "job" not in kernel.ok("import os; " + key + "%load_ext cellmesh").stdout
