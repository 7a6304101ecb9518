"""What the user sees of a remote exception, next to what a local call shows; in a real kernel."""

import re

import cloudpickle

from cellmesh.kernel import tracebacks
from cellmesh.scheduler.objects.failures import Failure, Rebuilt

from .conftest import Kernel, Shown

LOAD = "import cellmesh as cm, traceback"
BAD = "def first():\n    a = 1\n    return a\ndef bad(v):\n    q = 1\n    raise KeyError(v)"
E2 = "class E2(Exception):\n    def __init__(self, code, msg): super().__init__(msg); self.code = code\n"


class Awkward(Exception):  # noqa: N818 - as a user would write it
    """Pickles, but its pickle does not load: pickle calls it with `args`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def block(shown: Shown, function: str) -> list[str]:
    """The lines that the traceback shows of this function."""
    text = shown.plain_traceback
    found = re.search(rf"^.*, in (?:\S+\.)?{function}\(.*\n((?:.+\n)*)", text, re.MULTILINE)
    assert found is not None, text
    return found[1].splitlines()


def test_the_arrow_is_where_a_local_call_has_it(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(BAD)
    local = block(kernel.run("bad(3)"), "bad")
    assert local[-1] == "----> 6     raise KeyError(v)"
    assert block(kernel.run("cm.submit(bad, 3).result()"), "bad") == local
    assert block(kernel.run("cm.map(bad, [3]).result()"), "bad") == local
    shown = kernel.run("%load_ext cellmesh\nget_ipython().run_cell_magic('distributed', '', 'bad(3)')")
    assert block(shown, "bad") == local


def test_decorated_and_nested_functions_show_their_own_lines(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "def same(f): return f\ndef outer(v):\n    def inner(w):\n        return 1 / w\n    return inner(v)\n"
        "@same\ndef decorated(v):\n    return outer(v)"
    )
    local = kernel.run("decorated(0)")
    remote = kernel.run("cm.submit(decorated, 0).result()")
    for name in ("decorated", "outer", "inner"):
        assert block(remote, name) == block(local, name)


def test_causes_show_their_own_lines_too(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        BAD + "\ndef chained(v):\n    try:\n        bad(v)\n"
        "    except KeyError as e:\n        raise OSError from e"
    )
    local = kernel.run("chained(3)")
    remote = kernel.run("cm.submit(chained, 3).result()")
    assert block(remote, "bad") == block(local, "bad")
    assert "direct cause" in remote.traceback
    assert remote.error == "OSError: "


def test_the_standard_ways_to_look_at_it_work(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(BAD)
    code = "try: cm.submit(bad, 3).result()\nexcept KeyError: print(traceback.format_exc())"
    assert re.search(r"line 6, in bad\n    raise KeyError\(v\)\n", kernel.ok(code).stdout)
    code = (
        "import io\nfrom IPython.core.debugger import Pdb\nout = io.StringIO()\n"
        "pdb = Pdb(stdin=io.StringIO('where\\nq\\n'), stdout=out)\n"
        "pdb.use_rawinput, pdb.botframe = False, None\n"
        "pdb.interaction(None, cm.submit(bad, 3).exception().__traceback__)\nprint(out.getvalue())"
    )
    assert "raise" in kernel.ok(code).stdout
    assert kernel.ok(
        "try: cm.submit(lambda: 1 / 0).result()\nexcept ZeroDivisionError: print('caught')"
    ).stdout == ("caught\n")


def test_exceptions_whose_own_pickling_fails_are_caught_by_their_type(kernel: Kernel) -> None:
    kernel.ok("%load_ext cellmesh\n" + LOAD + ", threading")
    kernel.ok(E2 + "def bad(v): raise E2(7, 'no')")
    kernel.ok(
        "class Holds(Exception): pass\ndef holds(v):\n    e = Holds('no'); e.lock = threading.Lock(); raise e"
    )
    code = "try:\n    {}\nexcept E2 as e:\n    print(e.code, e, type(e) is E2)"
    assert kernel.ok(code.format("cm.submit(bad, 1).result()")).stdout == "7 no True\n"
    assert kernel.ok(code.format("cm.map(bad, [1]).result()")).stdout == "7 no True\n"
    magic = "get_ipython().run_cell_magic('distributed', '', 'bad(1)')"
    assert kernel.ok(code.format(magic)).stdout == "7 no True\n"
    code = "try: cm.submit(holds, 1).result()\nexcept Holds as e: print(e, type(e) is Holds)"
    assert kernel.ok(code).stdout == "no True\n"


def test_parts_of_an_exception_become_the_exception() -> None:
    data = cloudpickle.dumps(Rebuilt(Awkward, ("no",), {"code": 7}))
    error = tracebacks.rebuild(Failure(data, "Awkward", "no", (), "", "worker 1"))
    assert isinstance(error, Awkward)
    assert (error.code, str(error)) == (7, "no")


def test_parts_that_cannot_be_put_together_are_told() -> None:
    data = cloudpickle.dumps(Rebuilt(int, (), {}))  # type: ignore[arg-type]
    error = tracebacks.rebuild(Failure(data, "Odd", "no", (), "", "worker 1"))
    assert isinstance(error, tracebacks.RemoteError)
    assert str(error) == "no"
