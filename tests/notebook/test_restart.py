"""Item 7: what a kernel's restart, a rename and a closed notebook leave, and for how long."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.server import CellError, Server

LOAD = "%load_ext cellmesh\nimport cellmesh as cm, time, pathlib"
SLOW = (
    "def f(i):\n"
    "    print('item', i)\n"
    "    while i and not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    "    return i * i"
)


def until(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        threading.Event().wait(0.02)


def test_namespaces_outlive_the_kernel(server: Server) -> None:
    book = server.notebook()
    book.run(LOAD)
    book.run("%%distributed\nimport os\nmodel = os.getpid()")
    before = book.run("%%distributed\nprint('pid', model)")
    book.restart()
    shown = book.run(LOAD)
    assert "model" in shown
    assert "2" in shown
    assert sorted(before.splitlines()) == sorted(book.run("%%distributed\nprint('pid', model)").splitlines())
    book.close()


def test_a_running_job_goes_on_and_is_attached(server: Server) -> None:
    book = server.notebook()
    book.run(LOAD)
    book.run(SLOW)
    book.run("r = cm.map(f, range(4), background=True)\nr[0]")
    book.restart()
    shown = book.run(LOAD)
    assert "%mesh attach" in shown
    (server.root / "go").touch()
    shown = book.run("r = %mesh attach\nprint(r.result())")
    assert "item 0" in shown  # the output that was missed
    assert "[0, 1, 4, 9]" in shown
    book.close()


def test_finished_results_wait_for_whoever_claims_them(server: Server) -> None:
    book = server.notebook()
    book.run(LOAD)
    book.run(
        "def f(i):\n    return [i] * 100_000\n"
        "def done():\n    pathlib.Path('done').touch()\n"
        "r = cm.map(f, range(3), background=True)\n"
        "import concurrent.futures as cf\n"
        "while r.progress()[0] < 3: time.sleep(0.01)\npathlib.Path('done').touch()"
    )
    until(server.root / "done")
    book.restart()
    book.run(LOAD)
    assert "[0, 1, 2]" in book.run("r = %mesh attach\nprint([v[0] for v in r.result()])")
    with pytest.raises(CellError, match="no job"):
        book.run("%mesh attach")
    book.close()


def test_a_renamed_notebook_keeps_its_session(server: Server) -> None:
    book = server.notebook("before.ipynb")
    book.run(LOAD)
    book.run("%%distributed\nkept = 'yes'")
    book.rename("after.ipynb")
    book.restart()
    assert "kept" in book.run(LOAD)
    assert "yes" in book.run("%%distributed\nprint(kept)")
    book.close()
    again = server.notebook("after.ipynb")  # a new kernel of the same notebook
    assert "kept" in again.run(LOAD)
    again.close()


@pytest.mark.parametrize("server", [{"CELLMESH_GRACE": "0.3"}], indirect=True)
def test_a_closed_notebook_is_freed_after_its_grace_time(server: Server, runtime: Path) -> None:
    book = server.notebook()
    book.run(LOAD)
    book.run("%%distributed\nx = 1")
    mine = [process.pid for process in leftovers.processes(runtime)]
    book.close()
    assert leftovers.wait_until_gone(mine) == []
