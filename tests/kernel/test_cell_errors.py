"""Errors of distributed cells in a real kernel: in the cell's own lines, and by their own type."""

from .conftest import Kernel, plain


def test_an_error_in_the_cells_own_lines(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed\nx = 1\n\n1 / 0")
    text = shown.plain_traceback
    assert shown.error == "ZeroDivisionError: division by zero"
    assert "----> 4 1 / 0" in text
    assert "on worker 0" in text
    assert "1 other worker failed too: worker 1 (ZeroDivisionError: division by zero)" in text
    assert "cellmesh/kernel" not in text


def test_an_error_in_a_function_of_another_cell(mesh: Kernel) -> None:
    mesh.ok("def f(n):\n    y = n\n    raise LookupError('no')")
    text = mesh.run("%%rank [1]\nf(3)").plain_traceback
    assert "----> 2 f(3)" in text
    assert "----> 3     raise LookupError('no')" in text
    assert "in f()" in text
    assert "on worker 1" in text


def test_an_error_in_a_library(mesh: Kernel) -> None:
    text = mesh.run("%%rank [0]\nimport json\njson.loads('{')").plain_traceback
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
    assert "----> 2 raise Odd(1, 2)" in shown.plain_traceback


def test_chained_exceptions(mesh: Kernel) -> None:
    source = "%%rank [0]\ntry:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('v') from e"
    text = mesh.run(source).plain_traceback
    assert "KeyError: 'a'" in text
    assert "----> 3     {}['a']" in text
    assert "The above exception was the direct cause" in text
    assert "----> 5     raise ValueError('v') from e" in text


def test_syntax_errors_name_the_cells_line(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed\nx = 1\ny = = 2")
    assert shown.error.startswith("SyntaxError")
    assert "line 3" in shown.plain_traceback


def test_a_name_that_is_nowhere(mesh: Kernel) -> None:
    shown = mesh.run("%%distributed\nprint('ran')\nprint(nowhere)")
    assert shown.error.startswith("NameError: name 'nowhere' is not defined")
    assert "----> 3 print(nowhere)" in shown.plain_traceback
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
    assert "item 2: 2" in shown.plain_traceback
    assert "----> 2 1 / (i - 2)" in shown.plain_traceback
    kept = mesh.ok("import sys\n[r for r in sys.last_value.results if isinstance(r, float)]")
    assert kept.result == "[-0.5, -1.0, 1.0]"
