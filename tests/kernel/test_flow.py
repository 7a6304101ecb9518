"""What a cell reads, binds, and is sure to need."""

import ast

import pytest

from cellmesh.kernel import flow, names

BUILTINS = set(dir(__builtins__)) if not isinstance(__builtins__, dict) else set(__builtins__)


def read(source: str) -> names.CellNames:
    return flow.of_cell(ast.parse(source))


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("y = x", {"x"}),
        ("x = 1; y = x", set()),
        ("x = x + 1", {"x"}),
        ("x += 1", {"x"}),
        ("x[0] = y", {"x", "y"}),
        ("for i in xs: t = i + k", {"xs", "k"}),
        ("[a * b for a in xs for c in ys if c]", {"b", "xs", "ys"}),
        ("def f(a, b=d): return a + g + len(h)", {"d", "g", "h"}),
        ("def f(n): return f(n - 1)", set()),
        ("def outer():\n    v = 1\n    def inner(): return v + w\n    return inner", {"w"}),
        ("class A(Base):\n    p = q\n    r = p\n    def m(self): return s", {"Base", "q", "s"}),
        ("import os.path as p, sys\nfrom a import b\np, sys, b, os", {"os"}),
        ("with open(f) as g: h = g.read() + s", {"f", "s"}),
        ("print(f'{x!r:>{w}}')", {"x", "w"}),
        ("if c:\n    x = 1\nprint(x)", {"c", "x"}),
        ("if c:\n    x = 1\nelse:\n    x = 2\nprint(x)", {"c"}),
        ("try:\n    import j\nexcept ImportError:\n    j = None\nj", set()),
        ("match v:\n    case {'a': k, **rest}: k, rest\n    case [z, *zs]: z, zs, q", {"v", "q"}),
        ("(n := m); n", {"m"}),
        ("any((hit := a) for a in xs); hit", {"xs", "hit"}),
        ("f = lambda a, b=c: a + d", {"c", "d"}),
        ("await fetch(u)", {"fetch", "u"}),
        ("get_ipython().run_line_magic('timeit', 'f(x)')", {"get_ipython", "f", "x", "timeit"}),
        ("get_ipython().system('ls data {folder} $name')", {"get_ipython", "folder", "name"}),
        ("eval('a + b')", {"a", "b"}),
        ("del x", set()),
    ],
)
def test_reads(source: str, reads: set[str]) -> None:
    tree = compile(source, "c", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert set(flow.of_cell(tree).reads) - BUILTINS == reads


def test_a_name_bound_after_the_function_that_uses_it_is_soft() -> None:
    found = read("def f(): return lock\nlock = make()\nf()")
    assert "lock" in found.soft
    assert "lock" in found.reads
    assert "make" not in found.soft


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x", 1),
        ("y = 1\nprint(x)", 2),
        ("for i in range(3):\n    x(i)", 2),
        ("with a():\n    x", 2),
        ("if x: pass", 1),
        ("x and y", 1),
        ("try:\n    x\nfinally:\n    pass", 2),
        ("for i in range(3):\n    if i: break\nx", 3),
    ],
)
def test_certain(source: str, line: int) -> None:
    assert read(source).certain.get("x") == line


@pytest.mark.parametrize(
    "source",
    [
        "def f(): return x",
        "lambda: x",
        "[x for _ in ()]",
        "if a:\n    x",
        "a and x",
        "x if a else b",
        "try:\n    x\nexcept NameError:\n    x = 1",
        "try:\n    a()\n    x\nexcept ValueError:\n    pass",
        "with suppress(NameError):\n    x",
        "from m import *\nx",
        "exec(code)\nx",
        "globals()['x'] = 1\nx",
        "get_ipython().run_line_magic('run', 'a.py')\nx",
        "x = 1\ndel x\nx",
        "if a:\n    x = 1\nprint(x)",
        "def f():\n    global x\n    x = 1\nf()\nx",
        "while a:\n    x",
        "for i in a:\n    if i: continue\n    x",
        "raise a\nx",
        "v: x = 1",
        "assert a, x",
        "x = 1\nx",
    ],
)
def test_no_false_alarm(source: str) -> None:
    assert "x" not in read(source).certain


def test_bound_names_are_all_that_may_be() -> None:
    found = read("if a:\n    x = 1\ndef f():\n    global g\n    g = 1\nfor i in a: import os")
    assert found.bound == {"x", "f", "g", "i", "os"}
