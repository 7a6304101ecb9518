"""Distributed cells in a real kernel: what goes, what comes back, and what is said about bad input."""

from .conftest import Kernel, Shown


def said(shown: Shown) -> str:
    """The one line that is said about bad input."""
    assert not shown.traceback
    assert not shown.stdout
    lines = shown.stderr.strip().splitlines()
    assert len(lines) == 1, shown.stderr
    return lines[0]


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
    assert "----> 3 f()" in shown.plain_traceback


# --- errors ---------------------------------------------------------------------------------------


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
    ("%mesh scale 8..2", "2..8 is meant?"),
    ("%mesh scale 2..8", "do not come and go by themselves"),
    ("%mesh scale many", "N needs a number, or two like 2..8, not 'many'"),
    ("%mesh start -n 0", "a mesh needs at least one worker"),
    ("%mesh logs --tial 3", "did you mean --tail?"),
    ("%mesh attach 99", "There is no job 99"),
    ("%mesh connect dsk", "dsk is not there; embedded (this machine), inline"),
    ("%mesh connect dask", "to which address? For example tls://scheduler:8786"),
    ("%mesh connect dask tcp://127.0.0.1:1", "No Dask scheduler answers at tcp://127.0.0.1:1"),
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
