"""Edited local modules are the edited modules at the next job."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worker.running import Local

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import TaskWire
from cellmesh.scheduler.worker.modules import LocalModules

Write = Callable[[str, str], str]
_numbers = itertools.count()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module under a name of this test's own; answers the name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    mark = next(_numbers)
    names: set[str] = set()

    def written(name: str, text: str) -> str:
        full = f"cm_{name}_{mark}"
        path = tmp_path / f"{full}.py"
        path.write_text(text.replace("@", f"_{mark}"))
        names.add(full)
        return full

    yield written
    for name in names:
        sys.modules.pop(name, None)


def test_nothing_edited_reloads_nothing(write: Write) -> None:
    modules = LocalModules()
    __import__(write("a", "x = 1"))
    assert modules.refresh() == []
    assert modules.refresh() == []


def test_an_edit_of_equal_size_within_the_second_counts(write: Write) -> None:
    modules = LocalModules()
    name = write("a", "x = 1")
    module = __import__(name)
    modules.look()
    for value in (2, 3, 4):
        write("a", f"x = {value}")
        assert modules.refresh() == [name]
        assert module.x == value


def test_who_took_names_from_an_edited_module_follows_in_order(write: Write) -> None:
    modules = LocalModules()
    a = write("a", "N = 1\ndef f(): return N")
    b = write("b", "from cm_a@ import f, N\nM = N * 10")
    c = write("c", "from cm_b@ import M\nimport cm_a@")
    d = write("d", "import cm_a@")
    loaded = [__import__(name) for name in (c, d)]
    modules.look()
    write("a", "N = 22\ndef f(): return N")
    assert modules.refresh() == [a, b, c]
    assert loaded[0].M == 220
    assert modules.refresh() == []


def test_modules_that_import_each_other_are_no_trap(write: Write) -> None:
    modules = LocalModules()
    a = write("a", "x = 1\nfrom cm_b@ import y")
    b = write("b", "y = 1\nfrom cm_a@ import x")
    __import__(a)
    modules.look()
    write("a", "x = 22\nfrom cm_b@ import y")
    assert sorted(modules.refresh()) == [a, b]


def test_a_broken_edit_is_an_error_until_it_is_mended(write: Write) -> None:
    modules = LocalModules()
    name = write("a", "x = 1")
    module = __import__(name)
    modules.look()
    write("a", "x = = 2")
    for _ in range(2):
        with pytest.raises(SyntaxError):
            modules.refresh()
    write("a", "x = 3")
    assert modules.refresh() == [name]
    assert module.x == 3


def test_a_deleted_module_stays_as_it_is(write: Write, tmp_path: Path) -> None:
    modules = LocalModules()
    name = write("a", "x = 1")
    module = __import__(name)
    modules.look()
    (tmp_path / f"{name}.py").unlink()
    assert modules.refresh() == []
    assert module.x == 1


def test_the_library_is_not_local() -> None:
    modules = LocalModules()
    modules.look()
    local = modules._local.keys()
    assert not {"json", "os", "numpy", "IPython", "cellmesh.scheduler.worker.runner"} & local


def test_a_mapped_function_of_an_edited_module_is_loaded_anew(write: Write) -> None:
    name = write("a", "def f(x): return x + 1")
    local = Local()
    function = codec.dumps(getattr(__import__(name), "f"))  # noqa: B009 - named at run time
    task = TaskWire(0, "map", codec.dumps([(1,), (2,)]), ["f"], 2)
    assert local.run(task, {"f": function}) == {0: 2, 1: 3}
    write("a", "def f(x): return x * 100")
    assert local.run(task, {"f": function}) == {0: 100, 1: 200}
    write("a", "def f(x) return x")
    assert {f.type_name for f in local.run(task, {"f": function}).values()} == {"SyntaxError"}
