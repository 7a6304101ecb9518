"""Objects in a notebook: what `Out`, a traceback or a kernel that is gone held is freed when they let go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import CellError, Notebook, Server

LOAD = """
%load_ext cellmesh
import gc, glob, pathlib, time
import cellmesh as cm, numpy as np
from cellmesh.kernel import attaching

session = attaching.current()
hub = "-".join(session.engine.object_prefix().split("-")[:-2])

def segments():
    gc.collect()  # IPython's frames refer to each other
    session.drain_claims()
    session.engine.status()  # the hub has done what it was asked before
    return glob.glob(f"/dev/shm/{hub}-*")

def later(array):
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return float(array.sum())

def use(ref):
    raise ValueError(ref.result().shape)
"""


@pytest.fixture
def book(server: Server) -> Iterator[Notebook]:
    opened = server.notebook()
    opened.run(LOAD)
    yield opened
    opened.close()


def test_out_and_tracebacks_let_go(book: Notebook) -> None:
    book.run("ref = cm.put(np.ones(20_000)); ref")
    book.run("cm.submit(np.ones, 20_000)")
    assert "2" in book.run("_.result(); print(len(segments()))")
    with pytest.raises(CellError, match=r"20000"):
        book.run("use(cm.put(np.ones(20_000)))")
    assert "3" in book.run("print(len(segments()))")
    for expression in "123":  # IPython keeps the last three results by other names, too
        book.run(expression)
    book.run("del ref\n%reset -f out")
    with pytest.raises(CellError, match="other"):
        book.run("raise ValueError('other')")  # the last traceback is another's now
    assert "0" in book.run("print(len(segments()))")


def test_what_a_dead_kernel_had_put_is_its_running_jobs(book: Notebook, server: Server) -> None:
    book.run("ref = cm.put(np.ones(20_000)); unused = cm.put(np.ones(20_000))")
    book.run("r = cm.map(later, [ref, ref], background=True)")
    book.restart()
    book.run(LOAD)
    assert "2" in book.run("print(len(segments()))")  # nobody knows which of them the map was given
    (server.root / "go").touch()
    assert "[20000.0, 20000.0]" in book.run("r = %mesh attach\nprint(r.result())")
    assert "0" in book.run("print(len(segments()))")
