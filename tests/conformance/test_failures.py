"""What failing does, on every engine."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest
from conformance.recording import Desk

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import Failure, Rebuilt

pytestmark = pytest.mark.promise("errors")


def _reciprocal(x: float) -> float:
    return 1 / x


def test_a_failure_says_everything(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("def f(x):\n    return 1 / x\n\nf(0)", filename="/tmp/ipykernel_1/2.py")
    assert desk.told.states(job) == {0: "failed"}
    failure = desk.value(job)
    assert isinstance(failure, Failure)
    assert (failure.type_name, failure.message) == ("ZeroDivisionError", "division by zero")
    assert failure.exception is not None
    assert isinstance(pickle.loads(failure.exception), ZeroDivisionError)
    # Line 1 of the notebook's cell is the magic itself.
    places = [(frame.filename, frame.name, frame.lineno) for frame in failure.frames]
    assert places == [("/tmp/ipykernel_1/2.py", "<module>", 5), ("/tmp/ipykernel_1/2.py", "f", 3)]
    assert failure.frames[0].source.splitlines()[2] == "    return 1 / x"
    assert "return 1 / x" in failure.text
    assert "worker 0" in failure.worker


def test_a_syntax_error_names_the_cells_own_line(desk: Desk) -> None:
    desk.mesh(1)
    failure = desk.value(desk.cell("x = 1\ny = (", filename="/tmp/ipykernel_1/3.py"))
    assert failure.type_name == "SyntaxError"
    error = pickle.loads(failure.exception)
    assert (error.filename, error.lineno) == ("/tmp/ipykernel_1/3.py", 3)
    assert failure.frames == ()


def test_one_failing_item_does_not_lose_the_others(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(_reciprocal, [1, 0, 2, 4], 3))
    assert desk.told.wait_settled(job, 2) == {0: "failed", 1: "done"}
    values = desk.told.values(job)
    failure = values.pop((0, 1))
    assert values == {(0, 0): 1.0, (0, 2): 0.5, (1, 0): 0.25}
    assert (failure.item, failure.item_repr) == (1, "0")


def _slow_reciprocal(x: int) -> float:
    time.sleep(0.02 if x else 0)  # the failure overtakes the 200 others, whichever worker is quicker
    return 1 / x


def test_stop_on_error_cancels_what_has_not_run(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(_slow_reciprocal, [0] + [1] * 200, 1), stop_on_error=True)
    states = desk.told.wait_settled(job, 201)
    assert states[0] == "failed"
    assert "cancelled" in states.values()
    reasons = {desk.told.whys(job)[task] for task, state in states.items() if state == "cancelled"}
    assert reasons == {"an earlier item failed"}


def test_a_result_that_cannot_be_pickled_says_what_to_do(desk: Desk) -> None:
    def lock() -> object:
        import threading

        return threading.Lock()

    job = desk.call(lock)
    assert desk.told.states(job) == {0: "failed"}
    failure = desk.value(job)
    assert failure.type_name == "CannotPickleError"
    assert "lock" in failure.message
    assert "Return plain data" in failure.message


def test_an_exception_that_does_not_load_again_goes_in_parts(desk: Desk) -> None:
    desk.mesh(1)
    odd = "class Odd(Exception):\n    def __init__(self, a, b):\n        super().__init__('odd')\n"
    failure = desk.value(desk.cell(odd + "raise Odd(1, 2)"))
    assert (failure.type_name, failure.message) == ("Odd", "odd")
    parts = codec.loads(failure.exception)
    assert isinstance(parts, Rebuilt)
    assert (type(parts.make()).__name__, parts.make().args) == ("Odd", ("odd",))


@pytest.mark.promise("interrupts")
def test_the_codes_own_keyboard_interrupt_fails_its_item_alone(desk: Desk) -> None:
    def stop(x: int) -> int:
        if x == 1:
            raise KeyboardInterrupt("mine")
        return x

    job = desk.launch("map", desk.map_tasks(stop, [0, 1, 2], 3))
    assert desk.told.wait_settled(job, 1) == {0: "failed"}
    values = desk.told.values(job)
    failure = values.pop((0, 1))
    assert values == {(0, 0): 0, (0, 2): 2}
    assert (failure.type_name, failure.message) == ("KeyboardInterrupt", "mine")


def test_exit_is_an_error_and_the_worker_lives(desk: Desk) -> None:
    desk.mesh(1)
    desk.cell("kept = 1")
    failure = desk.value(desk.cell("import sys\nsys.exit(3)"))
    assert failure.type_name == "ExitRefusedError"
    assert "3" in failure.message
    assert desk.value(desk.cell("kept")) == 1


def test_a_function_that_does_not_load_fails_each_item(desk: Desk) -> None:
    class Stubborn:
        def __reduce__(self) -> object:
            return (int, ("not a number",))

    job = desk.launch("map", desk.map_tasks(Stubborn(), [1, 2], 2))  # type: ignore[arg-type]
    assert desk.told.wait_settled(job, 1) == {0: "failed"}
    assert [f.type_name for f in desk.told.values(job).values()] == ["ValueError", "ValueError"]


@pytest.mark.promise("refusals")
def test_a_worker_that_is_not_there_loses_the_task(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("1", worker=7)
    assert desk.told.states(job) == {0: "lost"}
    assert "there is no worker 7" in desk.told.whys(job)[0]


@pytest.mark.promise("refusals")
def test_gpus_that_are_not_there_lose_the_task(desk: Desk) -> None:
    have = len(desk.engine.capacity().gpus)
    job = desk.call(int, gpus=have + 1)
    assert desk.told.states(job) == {0: "lost"}
    assert f"needs {have + 1} GPU" in desk.told.whys(job)[0]


@pytest.mark.promise("deaths")
def test_a_death_is_told_and_names_how(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("import os\nos.kill(os.getpid(), 9)")
    assert desk.told.states(job) == {0: "lost"}
    assert "SIGKILL" in desk.told.whys(job)[0]


@pytest.mark.promise("deaths")
def test_a_lost_chunk_runs_only_its_unreported_items_again(desk: Desk, tmp_path: Path) -> None:
    folder = str(tmp_path)

    def once(x: int) -> int:
        import os
        import time

        open(os.path.join(folder, f"{x}-{os.getpid()}"), "x").close()
        if x == 1 and len([name for name in os.listdir(folder) if name.startswith("1-")]) == 1:
            while not os.path.exists(os.path.join(folder, "reported")):
                time.sleep(0.01)
            os._exit(1)
        return x

    job = desk.launch("map", desk.map_tasks(once, [0, 1, 2], 3, retries=1))
    desk.told.wait(lambda: any(c[0] == "items" for c in desk.told.calls), "report of the first item")
    (tmp_path / "reported").touch()  # only now may the second item die with its worker
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    (tmp_path / "reported").unlink()
    assert sorted(name[0] for name in os.listdir(folder)) == ["0", "1", "1", "2"]
