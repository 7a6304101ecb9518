"""Functions that were sent before: recognised while they cannot have changed, and not kept alive."""

import gc
import json
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from cellmesh.kernel.functions import KnownFunctions


@pytest.fixture
def known() -> KnownFunctions:
    return KnownFunctions()


def defined(source: str, **names: Any) -> Callable[..., Any]:
    """`f` of this source, as a notebook defines it."""
    namespace = {"__name__": "__main__", **names}
    exec(source, namespace)
    function: Callable[..., Any] = namespace["f"]
    return function


def test_a_function_that_was_sent_goes_with_its_last_reference(known: KnownFunctions) -> None:
    def closing_over(content: bytes) -> Callable[[], int]:
        return lambda: len(content)

    function = closing_over(bytes(1000))
    known.remember(function, "sent", object())
    assert known.digest(function) == "sent"
    gone = weakref.ref(function)
    del function
    gc.collect()
    assert gone() is None


def test_one_that_calls_itself_is_recognised(known: KnownFunctions) -> None:
    function = defined("def f(n): return f(n - 1) if n else 0")
    known.remember(function, "sent", object())
    assert known.digest(function) == "sent"
    function.__globals__["f"] = abs  # type: ignore[attr-defined]
    assert known.digest(function) == ""


def test_a_module_that_travels_by_value_may_have_changed(known: KnownFunctions) -> None:
    function = defined("def f(): return m.x", m=types.ModuleType("made_here"))
    known.remember(function, "sent", object())
    assert known.digest(function) == ""
    function = defined("def f(): return m.x", m=json)
    known.remember(function, "sent", object())
    assert known.digest(function) == "sent"
    cloudpickle.register_pickle_by_value(sys.modules["json"])
    try:
        assert known.digest(function) == ""
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules["json"])


@pytest.mark.parametrize(
    "change",
    ["f.__code__ = (lambda a=1, *, b=2: 0).__code__", "f.__defaults__ = (3,)", "f.__kwdefaults__ = {'b': 4}",
     "del f.x; f.y = 5", "other = len", "del other"],
)  # fmt: skip
def test_what_has_changed_is_sent_again(known: KnownFunctions, change: str) -> None:
    function = defined("def f(a=1, *, b=2): return a, b, other\nf.x = 5\nother = abs")
    known.remember(function, "sent", object())
    assert known.digest(function) == "sent"
    exec(change, function.__globals__)  # type: ignore[attr-defined]
    assert known.digest(function) == ""
