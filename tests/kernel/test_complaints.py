"""What `cm.map` and `cm.submit` say about what they are given."""

import pytest

from .conftest import Kernel

LOAD = "import cellmesh as cm, threading\nlk = threading.Lock()"
LOCK = "cannot pickle '_thread.lock' object"


@pytest.mark.parametrize("call", ["cm.map(f, [1])", "cm.submit(f, 1)"])
def test_a_function_that_cannot_travel(kernel: Kernel, call: str) -> None:
    kernel.ok(LOAD + "\ndef f(x):\n    with lk: return x")
    shown = kernel.run(call)
    assert shown.error == (
        f"CannotPickleError: your function uses `lk`, a lock, which cannot be sent to workers ({LOCK}). "
        "It is of use in one process only: create it inside the function."
    )
    assert "cloudpickle" not in shown.traceback
    assert "packing.py" not in shown.traceback


def test_arguments_that_cannot_travel(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    error = kernel.run("cm.submit(abs, [1, lk])").error
    assert error.startswith("CannotPickleError: argument 1 of `abs` has a lock in it: item [1], which cannot")
    error = kernel.run("cm.map(abs, [1, 2, lk]).result()").error
    assert error.startswith("CannotPickleError: item 2 is a lock, which cannot be sent")
    kernel.ok("def f(x, by): return x")
    assert "argument `by` is a lock, which" in kernel.run("cm.map(f, [1], by=lk)").error
    assert "argument `by` of `f` is a lock, which" in kernel.run("cm.submit(f, 1, by=lk)").error


def test_what_cannot_be_put(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\nlog = open('log', 'w')")
    shown = kernel.run("cm.put({'a': [1, lk]})")
    assert shown.error.startswith(
        "CannotPickleError: what cm.put was given has a lock in it: item ['a'] -> item [1], "
    )
    assert "packing.py" not in shown.traceback
    assert "is a generator, which cannot be sent to workers" in kernel.run("cm.put(i for i in [1])").error
    for call in ("cm.put(log)", "cm.submit(id, log)", "cm.submit(lambda: log.read())"):
        said = kernel.run(call).error
        assert said.count("an open file") == 2, "what it is, and what pickle has against it"
        assert said.count("Send its path") == 1


def test_our_own_objects_say_what_to_do_with_them(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\nys = cm.map(abs, [1])")
    said = kernel.run("cm.submit(lambda: ys.result())").error
    assert said.startswith("CannotPickleError: your function uses `ys`, a cellmesh.Results. ")
    assert "Take them first, with .result()" in said


def test_a_future_in_a_task_is_its_value(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\nbig, late = cm.put([1, 2]), cm.submit(abs, -3)")
    assert kernel.ok("cm.submit(lambda: (sum(big), late)).result()").result == "(3, 3)"
    shown = kernel.run("cm.submit(lambda: big.result()).result()")
    assert shown.error.startswith("AttributeError: 'list' object has no attribute 'result'")
    assert "A Future of the notebook is its value here" in shown.traceback


def test_writing_to_what_is_shared(kernel: Kernel, engine_name: str) -> None:
    pytest.importorskip("numpy", reason="needs NumPy")
    if engine_name == "inline":
        pytest.skip("shares nothing")
    kernel.ok(LOAD + "\nimport numpy as np\nown = np.ones(3); own.flags.writeable = False")
    assert not kernel.run("own[0] = 1").stderr, "nothing is shared yet"
    shown = kernel.run("table = cm.put(np.ones(50_000)).result()\ntable[0] = 2")
    assert shown.error == "ValueError: assignment destination is read-only"
    assert "cellmesh: large results are read in place" in shown.stderr
    assert "x.copy()" in shown.stderr
    shown = kernel.run("def write(x): x[0] = 2\ncm.submit(write, cm.put(np.ones(50_000))).result()")
    assert "change a copy, as of x.copy()" in shown.traceback


def test_a_failed_future_among_the_arguments_is_its_own_error(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("bad = cm.submit(lambda: 1 / 0); bad.exception()")
    assert kernel.run("cm.submit(abs, bad)").error == "ZeroDivisionError: division by zero"


def test_misspelled_options(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def f(x, scale=1): return x * scale\ndef any(x, **more): return sorted(more)")
    assert kernel.run("cm.map(f, [1], bakground=True)").error == (
        "TypeError: cm.map has no option 'bakground'; did you mean background? "
        "(pass arguments of your function in kwargs={})"
    )
    assert "cm.submit has no option 'sed'; did you mean seed?" in kernel.run("cm.submit(f, 1, sed=1)").error
    assert "no such argument" in kernel.run("cm.submit(f, 1, colour='red')").error
    assert kernel.ok("cm.submit(f, 2, scale=3).result()").result == "6"
    assert kernel.ok("cm.submit(any, 2, bakground=3).result()").result == "['bakground']"


def test_articles_and_misspelled_names(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert "Argument 2 of cm.map is an int, which" in kernel.run("cm.map(abs, 5)").error
    assert kernel.run("cm.mapp").error == (
        "AttributeError: module 'cellmesh' has no attribute 'mapp'. Did you mean: 'map'?"
    )


def test_fresh_results_know_how_many_there_will_be(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert "/30" in kernel.ok("r = cm.map(lambda x: x, range(30)); repr(r)").result
    assert kernel.ok("r.result(); r").result == ("<cellmesh.Results job 1 map <lambda>: 30/30, finished>")
