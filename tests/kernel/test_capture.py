"""What goes with a cell, whose value wins, and what is said when it cannot go."""

import ast
import functools
import math
import socket
import sqlite3
import textwrap
import threading
import types
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from cellmesh.kernel import flow
from cellmesh.kernel.capture import Captured, Notebook, capture, missing, show_size
from cellmesh.scheduler.objects import namespaces
from cellmesh.scheduler.objects.codec import CannotPickleError


def notebook(source: str = "", **values: Any) -> Notebook:
    """A notebook that has run `source`; its classes are of `__main__`, as in a kernel."""
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__, **values}
    exec(textwrap.dedent(source), namespace)
    return Notebook(namespace)


def take(
    cell: str,
    book: Notebook,
    owned: Mapping[str, Collection[int]] | None = None,
    **options: Any,
) -> Captured:
    return capture(flow.of_cell(ast.parse(cell)), book, owned or {}, (0, 1), **options)


def names(captured: Captured) -> set[str]:
    return {entry.name for entry in captured.entries}


def refused(cell: str, book: Notebook) -> str:
    with pytest.raises(CannotPickleError) as info:
        take(cell, book)
    assert info.value.line == 1  # type: ignore[attr-defined]
    return str(info.value)


def test_data_functions_classes_and_modules_go() -> None:
    book = notebook("import math\nclass A: pass\ndef f(): pass\nx = 1\nunused = 2")
    assert names(take("print(x, f(), A(), math.pi)", book)) == {"x", "f", "A", "math"}


def test_what_the_cell_binds_and_what_ipython_injects_stays() -> None:
    book = notebook("x = 1\n_ = 5\n_3 = 2\nIn = []\nhidden = 1")
    book = Notebook(book.namespace, {"hidden": book.namespace["hidden"]})
    assert names(take("x = 2\nprint(x, _, _3, In, hidden, __name__)", book)) == set()


@pytest.mark.parametrize(
    ("source", "cell", "expected"),
    [
        ("k = 1\ndef g(): return k\ndef f(): return g()", "f()", {"f", "g", "k"}),
        ("k = 1\ndef f(): return [k for _ in ()]", "f()", {"f", "k"}),
        ("k = 1\nf = lambda: (lambda: k)", "f()", {"f", "k"}),
        ("k = 1\nclass A:\n    def m(self): return k", "A()", {"A", "k"}),
        ("k = 1\nclass A:\n    @property\n    def m(self): return k", "A()", {"A", "k"}),
        ("k = 1\nclass A:\n    @staticmethod\n    def m(): return k", "A()", {"A", "k"}),
        ("k = 1\nclass A:\n    @classmethod\n    def m(cls): return k", "A()", {"A", "k"}),
        ("k = 1\nclass A:\n    def m(self): return k\nclass B(A): pass", "B()", {"B", "k"}),
        ("k = 1\nclass A:\n    def m(self): return k\na = A()", "a.m()", {"a", "k"}),
        ("k = 1\ndef f(): return k\ntable = {'f': [f]}", "table['f']", {"table", "k"}),
        ("k = 1\ndef f(): return k\nimport functools\np = functools.partial(f)", "p()", {"p", "k"}),
        ("def f(n): return f(n - 1)", "f(1)", {"f"}),
        ("class A:\n    def copy(self): return A()", "A()", {"A"}),
    ],
)
def test_what_they_refer_to_goes_too(source: str, cell: str, expected: set[str]) -> None:
    main = types.ModuleType("__main__")
    book = notebook(source)
    main.__dict__.update(book.namespace)
    assert names(take(cell, book)) == expected


def test_functions_arrive_in_the_other_namespace() -> None:
    book = notebook("k = 1\ndef f(): return k")
    there: dict[str, Any] = {}
    for entry in take("f()", book).entries:
        there[entry.name] = namespaces.loads(entry.payload, there)
    there["k"] = 7
    assert there["f"]() == 7


def test_unchanged_is_an_equal_digest() -> None:
    book = notebook("x = [1]\nclass A:\n    def m(self): return x\ndef f(a, *, b=2): return A")
    first = take("f(A)", book).names_for(0)
    assert take("f(A)", book).names_for(0) == first
    book.namespace["x"].append(2)
    changed = dict(take("f(A)", book).names_for(0))
    assert {name for name, digest in first if changed[name] != digest} == {"x"}


def test_the_workers_own_data_wins() -> None:
    book = notebook("model = 1\ndef f(): return model\nimport math")
    owned = {"model": {0, 1}, "f": {0, 1}, "math": {0, 1}}
    captured = take("f(), math", book, owned)
    assert names(captured) == {"f", "math"}
    assert captured.workers_own == ["model"]
    pushed = take("f(), math", book, owned, push=("model",))
    assert names(pushed) == {"f", "math", "model"}
    assert not pushed.workers_own


def test_a_worker_that_has_its_own_keeps_it() -> None:
    captured = take("x", notebook("x = 1"), {"x": {1}})
    assert [name for name, _ in captured.names_for(0)] == ["x"]
    assert captured.names_for(1) == ()
    assert [entry.name for entry in captured.mixed()] == ["x"]


def test_push_sends_what_is_not_used() -> None:
    assert names(take("pass", notebook("a = 1\nb = 2"), push=("a",))) == {"a"}


def test_a_nowhere_name() -> None:
    used = flow.of_cell(ast.parse("y = 1\nprint(x, len(y), display)"))
    book = notebook()
    found = missing(used, book, {}, (0, 1))
    assert found is not None
    assert (found.line, found.lacking) == (2, (0, 1))
    assert (
        str(found.error(2))
        == "name 'x' is not defined (neither the notebook nor any of these workers has it)"
    )
    partly = missing(used, book, {"x": {0}}, (0, 1))
    assert partly is not None
    assert (
        str(partly.error(2))
        == "name 'x' is not defined (the notebook does not have it, and worker 1 lacks it)"
    )
    assert missing(used, book, {"x": {0, 1}}, (0, 1)) is None
    assert missing(used, notebook("x = 1"), {}, (0, 1)) is None
    assert missing(used, book, {}, (0, 1), own=("x",)) is None


def closing_over(value: Any) -> Any:
    conn = value

    def f() -> Any:
        return conn

    return f


class Holder:
    def __init__(self, part: Any) -> None:
        self.part = part


class Slotted:
    __slots__ = ("part", "unset")

    def __init__(self, part: Any) -> None:
        self.part = part


LOCK = "cannot be sent to workers (cannot pickle '_thread.lock' object). It is of use in one process only: "


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), "`v` -> _thread.lock "),
        (closing_over(threading.Lock()), "`v` -> closure `conn` -> _thread.lock "),
        (
            Holder({"a": [threading.Lock()]}),
            "`v` -> attribute `part` -> item ['a'] -> item [0] -> _thread.lock ",
        ),
        (Slotted(threading.Lock()), "`v` -> attribute `part` -> _thread.lock "),
        (functools.partial(print, threading.Lock()), "`v` -> argument 0 -> _thread.lock "),
        (ValueError(threading.Lock()), "`v` -> argument 0 -> _thread.lock "),
    ],
)
def test_where_it_hangs(value: Any, path: str) -> None:
    said = refused("v", notebook(v=value))
    assert said.startswith(path)
    assert LOCK in said


def test_generators_files_sockets_connections_and_modules(tmp_path: Path) -> None:
    assert "Make a list of it first" in refused("v", notebook(v=(i for i in ())))
    with open(tmp_path / "log", "wb") as file:
        assert "Send its path, and open it inside the cell" in refused("v", notebook(v=file))
    with socket.socket() as plug:
        assert "Connect inside the cell" in refused("v", notebook(v=plug))
    with sqlite3.connect(":memory:") as connection:
        said = refused("v()", notebook(v=closing_over(connection)))
        assert said.startswith("`v` -> closure `conn` -> sqlite3.Connection cannot be sent to workers")
        assert "--setup" in said
    connection.close()
    module = types.ModuleType("made_here")
    module.lock = threading.Lock()  # type: ignore[attr-defined]
    assert refused("v", notebook(v=module)).startswith("`v` -> attribute `lock` -> _thread.lock")


def test_a_global_of_a_function_is_named_through_it() -> None:
    book = notebook("def f(): return lock", lock=threading.Lock())
    assert refused("f()", book).startswith("`f` -> global `lock` -> _thread.lock cannot be sent")


def test_what_the_cell_makes_itself_need_not_go() -> None:
    book = notebook("def g(): return lock", lock=threading.Lock())
    assert names(take("def f(): return lock\nlock = make()", book)) == set()
    assert names(take("lock = 1\ng()", book)) == {"g"}


def test_a_module_goes_by_reference() -> None:
    captured = take("math.pi", notebook(math=math))
    assert namespaces.loads(captured.entries[0].payload, {}) is math


def test_sizes() -> None:
    assert show_size(12_300_000) == "12 MB"
