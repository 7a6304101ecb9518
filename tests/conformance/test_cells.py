"""Cells on numbered workers, on every engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from conformance.recording import Desk, interpreter

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.objects.unpicklable import Unpicklable
from cellmesh.scheduler.wire.messages import TaskWire

pytestmark = pytest.mark.promise("cells")


def test_a_cell_gives_its_last_expression(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("x = 20\nx + 1")
    assert desk.told.states(job) == {0: "done"}
    assert desk.value(job) == 21
    assert [o.kind for o in desk.told.outputs(job)] == ["result"]


def test_a_semicolon_hides_the_result_but_keeps_the_value(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("6 * 7;")
    assert desk.value(job) == 42
    assert desk.told.outputs(job) == []


def test_a_cell_without_an_expression_has_no_value(desk: Desk) -> None:
    desk.mesh(1)
    assert desk.value(desk.cell("x = 1")) is None


def test_a_cell_may_await(desk: Desk) -> None:
    desk.mesh(1)
    assert desk.value(desk.cell("import asyncio\nawait asyncio.sleep(0, 'slept')")) == "slept"


def test_a_value_that_cannot_travel_does_not_fail_the_cell(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("import threading\nthreading.Lock()")
    assert desk.told.states(job) == {0: "done"}
    stand_in = desk.value(job)
    assert isinstance(stand_in, Unpicklable)
    assert stand_in.type_name == "lock"


def test_namespaces_persist_and_are_separate(desk: Desk) -> None:
    desk.mesh(2)
    desk.cell("x = 'zero'", worker=0)
    desk.cell("x = 'one'; y = 1", worker=1)
    assert desk.value(desk.cell("x", worker=0)) == "zero"
    assert desk.value(desk.cell("x", worker=1)) == "one"
    job = desk.cell("y", worker=0)
    assert desk.told.states(job) == {0: "failed"}
    assert desk.value(job).type_name == "NameError"


def test_names_that_cells_assigned_are_told(desk: Desk) -> None:
    desk.mesh(1)
    source = "import math\ndef f(): pass\nfor i in range(2): pass\n[j for j in range(3)]\n(w := 5)\ndel f"
    desk.cell(source, names=desk.captured({"given": 1}, "given"))
    desk.told.wait(lambda: desk.told.mesh()[0].names == ["i", "math", "w"], "names of the worker")


def test_captured_functions_live_in_the_workers_namespace(desk: Desk) -> None:
    notebook: dict[str, object] = {"__name__": "__main__", "factor": 2}
    exec("def scaled(x): return helper(x) * factor\ndef helper(x): return x + 1", notebook)
    desk.mesh(1)
    names = desk.captured(notebook, "scaled", "helper", "factor")
    assert desk.value(desk.cell("scaled(1)", names=names)) == 4
    assert desk.value(desk.cell("factor = 10\nscaled(1)", names=names)) == 20
    without = tuple(pair for pair in names if pair[0] != "factor")
    assert desk.value(desk.cell("scaled(2)", names=without)) == 30, "what a cell assigned stays"
    assert desk.value(desk.cell("scaled(2)", names=names)) == 6, "unless the kernel lists it again"


def test_an_unchanged_captured_value_is_not_set_again(desk: Desk) -> None:
    desk.mesh(1)
    names = desk.captured({"seen": []}, "seen")
    desk.cell("seen.append(1)", names=names)
    assert desk.value(desk.cell("seen", names=names)) == [1]


def test_over_runs_once_per_item_in_its_own_scope(desk: Desk) -> None:
    desk.mesh(2)
    code = CellCode("y = [x * k for k in (1, 2)]\ndef f(): return y\nf()", "<over>", 1, (), item_name="x")
    blob = desk.blob(code)
    tasks = [
        TaskWire(n, "over", codec.dumps(part), [blob], len(part), pool="mesh")
        for n, part in enumerate(([1, 2], [3]))
    ]
    job = desk.launch("over", tasks)
    assert desk.told.wait_settled(job, 2) == {0: "done", 1: "done"}
    assert desk.told.values(job) == {(0, 0): [1, 2], (0, 1): [2, 4], (1, 0): [3, 6]}
    for worker in (0, 1):
        assert desk.value(desk.cell("'y' in globals() or 'x' in globals()", worker=worker)) is False


def test_an_edited_module_is_the_edited_module(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "edited_conformance.py"
    module.write_text("def answer(): return 1\n")
    desk.mesh(1)
    desk.engine.set_context(interpreter(path=[str(tmp_path), *sys.path]))
    assert desk.value(desk.cell("from edited_conformance import answer\nanswer()")) == 1
    module.write_text("def answer(): return 2\n")
    os.utime(module, ns=(1, 1))
    assert desk.value(desk.cell("from edited_conformance import answer\nanswer()")) == 2
    module.write_text("def answer(: return 3\n")
    failure = desk.value(desk.cell("answer()"))
    assert failure.type_name == "SyntaxError"
    sys.modules.pop("edited_conformance", None)
