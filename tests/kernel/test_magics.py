"""Distributed cells in a real kernel: what goes, what comes back, and what is said about bad input."""

import re

import pytest

from .conftest import Kernel, Shown


@pytest.fixture
def mesh(kernel: Kernel) -> Kernel:
    """A kernel with cellmesh loaded and two workers."""
    kernel.ok("%load_ext cellmesh\n%mesh start -n 2")
    return kernel


def said(shown: Shown) -> str:
    """The one line that is said about bad input."""
    assert not shown.traceback
    assert not shown.stdout
    lines = shown.stderr.strip().splitlines()
    assert len(lines) == 1, shown.stderr
    return lines[0]


def lines_of(shown: Shown) -> str:
    return plain(shown.traceback)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# --- what a cell does -----------------------------------------------------------------------------


def test_namespaces_persist(mesh: Kernel) -> None:
    mesh.ok("%%distributed\nx = 20")
    assert mesh.ok("%%distributed --out ys\nx + 1").result == ""
    assert mesh.ok("ys").result == "[21, 21]"


def test_only_some_workers(mesh: Kernel) -> None:
    mesh.ok("%%rank[1]\nonly = 1")
    mesh.ok("%%rank [1] --out r\nonly")
    mesh.ok("%%distributed --workers 0-1 --out n\n'only' in globals()")
    assert mesh.ok("r, n").result == "([1], [False, True])"


def test_over(mesh: Kernel) -> None:
    mesh.ok("xs = list(range(6))\ndef square(x): return x * x")
    mesh.ok("%%distributed --over xs[1:] --as x --out ys\ny = square(x)\ny + 1")
    assert mesh.ok("ys").result == "[2, 5, 10, 17, 26]"
    mesh.ok("%%distributed --over range(4) --as x --out ys --workers 1\nx")
    assert mesh.ok("ys").result == "[0, 1, 2, 3]"
    mesh.ok("%%distributed --over (c for c in 'ab') --as x --out ys\nx")
    assert mesh.ok("ys").result == "['a', 'b']"
    mesh.ok("%%distributed --over [] --as x --out ys\nx")
    assert mesh.ok("ys").result == "[]"


def test_background_gives_a_handle(mesh: Kernel) -> None:
    mesh.ok("%%distributed --background --out later\n7")
    assert mesh.ok("later.result()").result == "[7, 7]"
    mesh.ok("%%distributed --over range(3) --as i --background --out later\ni")
    assert mesh.ok("later.result()").result == "[0, 1, 2]"


def test_local_too(mesh: Kernel) -> None:
    shown = mesh.ok("%%distributed --local\nhere = 3\nhere + 1")
    assert shown.result == "4"
    assert mesh.ok("here").result == "3"


def test_magics_inside_a_cell(mesh: Kernel) -> None:
    mesh.ok("%%distributed --out ys\n%env CELLMESH_TRIED=1\nimport os\nos.environ['CELLMESH_TRIED']")
    assert mesh.ok("ys").result == "['1', '1']"


def test_an_empty_cell(mesh: Kernel) -> None:
    mesh.ok("%%distributed --out ys\n# nothing\n")
    assert mesh.ok("ys").result == "[None, None]"


def test_await_at_top_level(mesh: Kernel) -> None:
    mesh.ok("%%distributed --out ys\nimport asyncio\nawait asyncio.sleep(0)\n5")
    assert mesh.ok("ys").result == "[5, 5]"


# --- capture --------------------------------------------------------------------------------------


def test_what_a_cell_uses_goes_with_it(mesh: Kernel) -> None:
    mesh.ok(
        "import math\nk = 2\ndef f(a): return a * k\n"
        "class A:\n    def m(self): return f(math.floor(3.5))\na = A()"
    )
    mesh.ok("%%distributed --out ys\na.m(), A().m()")
    assert mesh.ok("ys").result == "[(6, 6), (6, 6)]"
    mesh.ok("k = 10")
    mesh.ok("%%distributed --out ys\na.m()")
    assert mesh.ok("ys").result == "[30, 30]"
    mesh.ok("def f(a): return 'new'")
    mesh.ok("%%distributed --out ys\na.m()")
    assert mesh.ok("ys").result == "['new', 'new']"


def test_a_changed_list_is_sent_again(mesh: Kernel) -> None:
    mesh.ok("xs = [1]")
    mesh.ok("%%distributed --out ys\nxs")
    mesh.ok("xs.append(2)")
    mesh.ok("%%distributed --out ys\nxs")
    assert mesh.ok("ys[0]").result == "[1, 2]"


def test_the_workers_value_wins_and_push_overrides(mesh: Kernel) -> None:
    mesh.ok("model = 'notebook'")
    assert mesh.ok("%%distributed\nmodel = 'worker'").stderr == ""
    shown = mesh.ok("%%distributed --out ys\nmodel")
    assert "`model`: the workers' own value is used; --push model sends the notebook's" in shown.stderr
    assert mesh.ok("ys").result == "['worker', 'worker']"
    assert mesh.ok("%%distributed --out ys --push model\nmodel").stderr == ""
    assert mesh.ok("ys").result == "['notebook', 'notebook']"


def test_each_worker_keeps_what_it_has(mesh: Kernel) -> None:
    mesh.ok("model = 'notebook'")
    mesh.ok("%%rank [1]\nmodel = 'worker'")
    mesh.ok("%%distributed --out ys\nmodel")
    assert mesh.ok("ys").result == "['notebook', 'worker']"
    line = said(mesh.run("%%distributed --over [1] --as i\nmodel"))
    assert "--push model sends the notebook's to all" in line


def test_the_notebook_is_changed_by_out_only(mesh: Kernel) -> None:
    mesh.ok("x = 1")
    mesh.ok("%%distributed\nx = 2\nz = 3")
    assert mesh.ok("x, 'z' in globals()").result == "(1, False)"


def test_large_values_are_announced_once(mesh: Kernel) -> None:
    mesh.ok("import numpy as np\ndf = np.zeros(2_500_000)")
    shown = mesh.ok("%%distributed --out s\nfloat(df.sum())")
    assert "cellmesh: sending `df` (20 MB) to 2 workers" in shown.stderr
    assert "sending" not in mesh.ok("%%distributed --out s\nfloat(df.sum())").stderr
    assert mesh.ok("s").result == "[0.0, 0.0]"


def test_what_cannot_travel(mesh: Kernel) -> None:
    mesh.ok("import threading\nlock = threading.Lock()\ndef f():\n    return lock.locked()")
    shown = mesh.run("%%distributed\nx = 1\nf()")
    assert shown.error.startswith("CannotPickleError: `f` -> global `lock` -> _thread.lock cannot be sent to")
    assert "----> 3 f()" in lines_of(shown)


# --- errors ---------------------------------------------------------------------------------------


def test_an_error_in_the_cells_own_lines(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed\nx = 1\n\n1 / 0")
    text = lines_of(shown)
    assert shown.error == "ZeroDivisionError: division by zero"
    assert "----> 4 1 / 0" in text
    assert "on worker 0" in text
    assert "1 other worker failed too: worker 1 (ZeroDivisionError: division by zero)" in text
    assert "cellmesh/kernel" not in text


def test_an_error_in_a_function_of_another_cell(mesh: Kernel) -> None:
    mesh.ok("def f(n):\n    y = n\n    raise LookupError('no')")
    text = lines_of(mesh.run("%%rank [1]\nf(3)"))
    assert "----> 2 f(3)" in text
    assert "----> 3     raise LookupError('no')" in text
    assert "in f()" in text
    assert "on worker 1" in text


def test_an_error_in_a_library(mesh: Kernel) -> None:
    text = lines_of(mesh.run("%%rank [0]\nimport json\njson.loads('{')"))
    assert "json/decoder.py" in text
    assert "----> 3 json.loads('{')" in text
    assert "JSONDecodeError" in text


def test_errors_are_caught_by_their_type(mesh: Kernel) -> None:
    mesh.ok("class Mine(Exception):\n    def __init__(self, a, b):\n        super().__init__(a, b)")
    shown = mesh.run("%%rank [0]\nraise Mine(1, 2)")
    assert shown.error == "Mine: (1, 2)"
    assert mesh.ok("import sys\ntype(sys.last_value) is Mine").result == "True"


def test_an_exception_that_does_not_load(mesh: Kernel) -> None:
    mesh.ok("class Odd(Exception):\n    def __init__(self, a, b):\n        super().__init__(f'{a}{b}')")
    shown = mesh.run("%%rank [0]\nraise Odd(1, 2)")
    assert shown.error == "Odd: 12"
    assert "----> 2 raise Odd(1, 2)" in lines_of(shown)


def test_chained_exceptions(mesh: Kernel) -> None:
    source = "%%rank [0]\ntry:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('v') from e"
    text = lines_of(mesh.run(source))
    assert "KeyError: 'a'" in text
    assert "----> 3     {}['a']" in text
    assert "The above exception was the direct cause" in text
    assert "----> 5     raise ValueError('v') from e" in text


def test_syntax_errors_name_the_cells_line(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed\nx = 1\ny = = 2")
    assert shown.error.startswith("SyntaxError")
    assert "line 3" in lines_of(shown)


def test_a_name_that_is_nowhere(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed\nprint('ran')\nprint(nowhere)")
    assert shown.error.startswith("NameError: name 'nowhere' is not defined")
    assert "----> 3 print(nowhere)" in lines_of(shown)
    assert "ran" not in shown.stdout


def test_debugging_tools_do_not_crash(mesh: Kernel) -> None:
    mesh.run("%%rank [0]\ndef f():\n    1 / 0\nf()")
    shown = mesh.ok("import sys, traceback\nprint(''.join(traceback.format_exception(sys.last_value)))")
    assert "in f\n    1 / 0" in shown.stdout
    typed = "w\\nu\\np 1\\nq\\n"
    mesh.ok(f"import io\nfrom IPython.core.debugger import Pdb\np = Pdb(stdin=io.StringIO('{typed}'))")
    walked = mesh.ok(
        "p.use_rawinput = False\np.reset()\np.botframe = sys.last_traceback.tb_frame\n"
        "p.interaction(None, sys.last_traceback)"
    )
    assert "1 / 0" in plain(walked.stdout)


def test_one_failing_item_does_not_lose_the_others(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed --over range(4) --as i --out ys\n1 / (i - 2)")
    assert shown.error == "ZeroDivisionError: division by zero"
    assert "item 2: 2" in lines_of(shown)
    assert "----> 2 1 / (i - 2)" in lines_of(shown)
    kept = mesh.ok("import sys\n[r for r in sys.last_value.results if isinstance(r, float)]")
    assert kept.result == "[-0.5, -1.0, 1.0]"


def test_out_of_something_that_cannot_travel(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed --out o\nimport threading\nthreading.Lock()")
    assert "worker 0: the last expression is a lock, which cannot be sent to the notebook" in shown.error


# --- bad input ------------------------------------------------------------------------------------


BAD_INPUT = [
    ("%%distributed --bakground\nx", "there is no option --bakground; did you mean --background?"),
    ("%%distributed --over 5 --as i\ni", "--over 5: 'int' is not iterable"),
    ("%%distributed --over x+ --as i\ni", "--over x+ is not an expression"),
    ("%%rank [0,7]\n1", "there is no worker 7; the mesh has workers 0-1 (%mesh scale 8 adds more)"),
    ("%%distributed -n 0\n1", "a mesh needs at least one worker"),
    ("%%distributed -n 3\n1", "the mesh has 2 workers; %mesh scale 3 changes that"),
    ("%%distributed --gpus 1\n1", "the mesh has 2 workers with no GPUs each"),
    ("%%distributed --push nix\n1", "--push nix: the notebook has no nix"),
    ("%%distributed --spmd\n1", "--spmd is not in this version yet"),
    ("%%distributed --local\nawait f()", "--local cannot run a top-level await"),
    ("%mesh strt", "there is no 'strt'; did you mean start?"),
    ("%mesh scale", "how many workers?"),
    ("%mesh scale many", "N needs a number, not 'many'"),
    ("%mesh start -n 0", "a mesh needs at least one worker"),
    ("%mesh logs --tial 3", "did you mean --tail?"),
    ("%mesh attach 99", "There is no job 99"),
    ("%mesh connect dsk", "dsk is not there; embedded (this machine) or inline"),
]


def test_bad_input_is_one_line(mesh: Kernel) -> None:
    for cell, expected in BAD_INPUT:
        assert expected in said(mesh.run(cell)), cell
    mesh.ok("%%distributed --out ys\n1")
    assert mesh.ok("ys").result == "[1, 1]"


# --- %mesh and the extension ----------------------------------------------------------------------


def test_mesh_shows_itself(mesh: Kernel) -> None:
    mesh.ok("%%distributed\nx = 1")
    shown = mesh.ok("%mesh")
    assert "x" in shown.result
    assert "text/html" in shown.of("execute_result")[-1]["content"]["data"]
    assert "%%distributed" in mesh.ok("%mesh jobs").result
    assert "2 workers" in mesh.ok("%mesh start").stdout
    assert "3 workers" in mesh.ok("%mesh scale 3").stdout
    mesh.ok("%mesh reset")
    mesh.ok("%%distributed --out ys\n'x' in globals()")
    assert mesh.ok("ys").result == "[False, False, False]"
    assert "3 workers stopped" in mesh.ok("%mesh stop").stdout


def test_loading_twice_does_no_harm(kernel: Kernel) -> None:
    assert kernel.ok("%load_ext cellmesh").stdout.startswith("cellmesh 0.1.0: attached to ")
    assert "already loaded" in kernel.ok("%load_ext cellmesh").stdout
    kernel.ok("%%rank[0]\n1")
    kernel.ok("%%rank[0]\nkept = 1")
    assert "with: kept" in kernel.ok("%reload_ext cellmesh").stdout
    kernel.ok("%%rank[0]\nkept")


def test_unloading_and_loading_again(kernel: Kernel) -> None:
    kernel.ok("%load_ext cellmesh")
    kernel.ok("%unload_ext cellmesh")
    assert "not found" in kernel.run("%%distributed\n1").stderr
    kernel.ok("%load_ext cellmesh")
    kernel.ok("%%distributed\n1")
