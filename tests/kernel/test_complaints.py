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
