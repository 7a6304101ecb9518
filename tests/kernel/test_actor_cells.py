"""`%%distributed --actor`: cells inside an actor's process."""

from __future__ import annotations

import re

import pytest

from .conftest import Kernel

MODEL = """
%load_ext cellmesh
import cellmesh as cm

@cm.actor(name="llm")
class Model:
    def __init__(self):
        self.weights = [1, 2, 3]
    def total(self):
        return sum(self.weights)
h = Model.start()
"""


@pytest.fixture
def model(kernel: Kernel) -> Kernel:
    kernel.ok(MODEL)
    return kernel


def test_self_is_the_live_object(model: Kernel) -> None:
    shown = model.ok(
        "%%distributed --actor llm\nself.weights.append(4)\nprint('now', len(self.weights))\nself.total()"
    )
    assert "now 4" in shown.stdout
    assert "10" in shown.stdout
    assert model.ok("h.total().result()").result == "10"


def test_names_stay_there_and_what_the_notebook_has_is_sent(model: Kernel) -> None:
    model.ok("scale = 10\ndef times(x):\n    return x * scale")
    model.ok("%%distributed --actor llm\nkept = times(self.total())")
    model.ok("%%distributed --actor llm --out got\nkept + 1")
    assert model.ok("got").result == "61"
    assert "kept" in model.run("kept").error


def test_a_method_is_patched(model: Kernel) -> None:
    model.ok("%%distributed --actor llm\ntype(self).total = lambda self: -1")
    assert model.ok("h.total().result()").result == "-1"


def test_an_error_is_at_the_cells_own_line(model: Kernel) -> None:
    shown = model.run("%%distributed --actor llm\nx = 1\nself.weights['no']")
    assert shown.error.startswith("TypeError")
    trace = re.sub(r"\x1b\[[0-9;]*m", "", shown.traceback)
    assert "----> 3 self.weights['no']" in trace
    assert "llm" in trace
    assert model.ok("h.total().result()").result == "6"


def test_rich_output_is_in_the_cell(model: Kernel) -> None:
    shown = model.ok(
        "%%distributed --actor llm\nfrom IPython.display import HTML, display\ndisplay(HTML('<b>w</b>'))"
    )
    assert any("<b>w</b>" in str(m["content"]["data"].get("text/html")) for m in shown.of("display_data"))


def test_bad_input_is_one_line(model: Kernel) -> None:
    assert '"nobody"' in model.run("%%distributed --actor nobody\n1").stderr
    assert "--over is for mesh workers" in model.run("%%distributed --actor llm --over [1] --as x\nx").stderr
    assert "is %%distributed --actor llm" in model.run("%%rank [0] --actor llm\n1").stderr
    shown = model.run("import threading\nlock = threading.Lock()")
    shown = model.run("%%distributed --actor llm\nlock.acquire()")
    assert shown.error.startswith("CannotPickleError: `lock`")


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_stop_interrupts_the_cell_and_keeps_the_state(model: Kernel) -> None:
    shown = model.start(
        "%%distributed --actor llm\nimport time\nself.weights = [7]\nprint('on')\ntime.sleep(600)"
    )
    model.wait_until(lambda: "on" in shown.stdout)
    model.interrupt()
    model.finish(shown)
    assert shown.error.startswith("KeyboardInterrupt")
    assert model.ok("h.total().result()", timeout=20).result == "7"


def test_reload_moves_the_living_object_to_the_new_code(model: Kernel) -> None:
    model.ok("%%distributed --actor llm\nself.weights = [5]")
    model.ok(MODEL.rpartition("h = ")[0].replace("return sum(self.weights)", "return -sum(self.weights)"))
    assert "reload llm" in model.run("Model.start()").error
    assert "as it is now" in model.ok("%mesh reload llm").stdout
    assert model.ok("h.total().result(), Model.start().total().result()").result == "(-5, -5)"
    assert "Nope" in model.run("%mesh reload Nope").stderr
    model.ok("del Model")
    assert "Run the cell that defines it" in model.run("%mesh reload llm").stderr


def test_a_class_cell_reloads_its_actor(model: Kernel) -> None:
    model.ok("%%distributed --actor llm\nself.weights = [5]")
    code = MODEL.partition("import cellmesh as cm")[2].rpartition("h = ")[0].strip()
    model.ok("%%distributed --actor llm --reload\n" + code.replace("sum(", "2 * sum("))
    assert model.ok("h.total().result(), Model().total()").result == "(10, 12)"
    assert "needs --actor" in model.run("%%distributed --reload\n1").stderr


def test_free_ends_it_and_the_list_is_a_table(model: Kernel) -> None:
    assert "llm" in model.ok("%mesh actors").result
    assert "which actor?" in model.run("%mesh free").stderr
    assert "has ended" in model.ok("%mesh free llm").stdout
    assert model.ok("%mesh actors").result.startswith("No actors")
    assert "was freed" in model.run("h.total().result()").error


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_a_new_process_has_no_names_of_earlier_cells(kernel: Kernel) -> None:
    kernel.ok("""
%load_ext cellmesh
import cellmesh as cm, os, signal, time
@cm.actor(name="m", restarts=2)
class Mortal:
    def pid(self): return os.getpid()
m = Mortal.start()
before = m.pid().result()
x = 1
""")
    assert "5" in kernel.ok("%%distributed --actor m\nx = 5\nprint(x)").stdout
    kernel.ok("os.kill(before, signal.SIGKILL)\nwhile m._caller.info.pid in (0, before): time.sleep(0.01)")
    kernel.ok("assert m.pid().result() != before")
    assert "1" in kernel.ok("%%distributed --actor m\nprint(x)").stdout
