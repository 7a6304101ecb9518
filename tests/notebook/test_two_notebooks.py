"""Item 8: two notebooks at once share the slots fairly and never see each other's names."""

from __future__ import annotations

import pytest

from tests.support.server import CellError, Server

LOAD = "%load_ext cellmesh\nimport cellmesh as cm, time, pathlib"


def test_names_are_never_shared(server: Server) -> None:
    a, b = server.notebook("a.ipynb"), server.notebook("b.ipynb")
    a.run(LOAD)
    b.run(LOAD)
    a.run("%%distributed\nsecret = 'a'")
    b.run("%%distributed\nother = 'b'")
    with pytest.raises(CellError, match="secret"):
        b.run("%%distributed\nprint(secret)")
    assert "secret" not in b.run("%mesh")
    a.close()
    b.close()


def test_a_long_map_does_not_keep_the_other_notebook_waiting(server: Server) -> None:
    """A holds both slots with a queue behind them; B's work gets its share before A's queue is done."""
    a, b = server.notebook("a.ipynb"), server.notebook("b.ipynb")
    a.run(LOAD)
    b.run(LOAD)
    a.run(
        "def f(i):\n    pathlib.Path('in').touch()\n    time.sleep(0.05)\n    return i\n"
        "r = cm.map(f, range(2000), background=True)\nr[0]"
    )
    assert "[0, 1, 4]" in b.run("print(cm.map(lambda x: x * x, range(3)).result())")
    progress = a.run("print(r.progress()[0] < 2000, r.progress()[0] > 0)\nr.cancel()")
    assert "True True" in progress
    a.close()
    b.close()
