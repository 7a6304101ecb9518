"""What a kernel's restart leaves on a Dask cluster, and how the next kernel hears of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

from tests.support.server import CellError, Server

LOAD = "%load_ext cellmesh\nimport cellmesh as cm, time, pathlib"
SLOW = (
    "def f(i):\n"
    "    print('item', i)\n"
    "    while i > 2 and not pathlib.Path({go!r}).exists(): time.sleep(0.01)\n"
    "    return i * i"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a scheduler with two Dask workers of one thread each, in processes of their own."""
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
    ):
        yield cluster.scheduler_address


def test_a_running_job_is_announced_listed_and_attached(server: Server, address: str, tmp_path: Path) -> None:
    book = server.notebook()
    book.run(LOAD)
    book.run(f"cm.connect('dask', {address!r})")
    go = tmp_path / "go"
    book.run(SLOW.format(go=str(go)))
    book.run("r = cm.map(f, range(6), background=True)\n[r[i] for i in range(3)]")
    book.restart()
    book.run(LOAD)
    shown = book.run(f"cm.connect('dask', {address!r})")
    assert re.search(r"job 1 \(map f\) running 3/6: %mesh attach 1 shows it", shown), shown
    assert re.search(r"map f\s+3/6\s+background", book.run("%mesh jobs"))
    shown = book.run("r = %mesh attach\nprint(r)")
    assert "3/6, running" in shown
    assert "item 0" in shown  # the output that was missed
    assert shown.count("item 0") == 1
    assert "3/6" in book.run("print(r)")
    go.touch()
    assert "[0, 1, 4, 9, 16, 25]" in book.run("print(r.result())")
    book.close()


def test_a_job_of_an_earlier_kernel_is_cancelled_by_its_number_and_cleared(
    server: Server, address: str, tmp_path: Path
) -> None:
    book = server.notebook()
    book.run(LOAD)
    book.run(f"%mesh connect dask {address}")
    book.run("kept = cm.submit(abs, -3)\nprint(kept.done() or cm.wait([kept]))")
    book.run(SLOW.format(go=str(tmp_path / "never")))
    book.run("r = cm.map(f, range(6), background=True)\n[r[i] for i in range(3)]")
    book.restart()
    book.run(LOAD)
    assert "job 2 (map f) running 3/6" in book.run(f"%mesh connect dask {address}")
    book.run("cm.cancel(2)")
    assert re.search(r"map f\s+\d/6\s+(cancelled|stopping)", book.run("%mesh jobs"))
    assert "[1, 2]" in book.run("print(cm.map(abs, [-1, -2]).result())")  # its threads are free
    assert re.search(r"submit\s+abs\s+1/1\s+finished", book.run("%mesh jobs"))  # nobody has taken its result
    book.run("%mesh reset")
    assert not re.search(r"map f|submit", book.run("%mesh jobs"))
    with pytest.raises(CellError, match="no job"):
        book.run("%mesh attach 2")
    book.close()
