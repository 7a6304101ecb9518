"""dask's graphs run on the pool: its own test of schedulers, and its collections."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from guests.conftest import embedded_only

import cellmesh as cm
from cellmesh.kernel.session import Session

dask = pytest.importorskip("dask", reason="needs dask")
from dask.utils_test import GetFunctionTestMixin  # noqa: E402


@pytest.fixture(autouse=True)
def _on_the_pool(pool: Session) -> Any:
    with dask.config.set(scheduler=cm.dask_get):
        yield


class TestTheirs(GetFunctionTestMixin):  # type: ignore[misc]
    """What dask expects of any scheduler."""

    get = staticmethod(cm.dask_get)


def test_arrays(pool: Session) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask[array]", exc_type=ImportError)
    source = np.arange(1_000_000.0).reshape(1000, 1000)
    array = da.from_array(source, chunks=(250, 250))
    assert np.allclose((array @ array.T).sum(axis=0).compute(), (source @ source.T).sum(axis=0))
    assert np.array_equal((array + 1)[:, ::2].compute(), (source + 1)[:, ::2])


def test_dataframes(pool: Session) -> None:
    dd = pytest.importorskip("dask.dataframe", reason="needs dask[dataframe]", exc_type=ImportError)
    import pandas as pd

    source = pd.DataFrame({"name": ["a", "b", "c", "d"] * 250, "x": range(1000)})
    frame = dd.from_pandas(source, npartitions=4)
    together = frame.groupby("name").x.sum().compute().sort_index()
    assert together.to_dict() == source.groupby("name").x.sum().to_dict()
    merged = frame.merge(frame, on="x").compute()
    assert sorted(merged.x) == list(range(1000))
    assert list(frame.set_index("x").loc[10:12].name.compute()) == list(source.name[10:13])


def test_delayed_and_bags(pool: Session) -> None:
    import dask.bag as db

    total = dask.delayed(sum)([dask.delayed(lambda x: x * x)(i) for i in range(20)])
    assert total.compute() == sum(i * i for i in range(20))
    words = db.from_sequence(["a", "b", "a", "c"] * 10, npartitions=3)
    assert dict(words.frequencies().compute()) == {"a": 20, "b": 10, "c": 10}
    assert dict(words.foldby(len, lambda n, _: n + 1, 0, lambda a, b: a + b, 0).compute()) == {1: 40}


def test_a_failure_keeps_its_type(pool: Session) -> None:
    def fail(x: int) -> None:
        raise LookupError(f"no {x}")

    with pytest.raises(LookupError, match="no 3"):
        dask.delayed(fail)(3).compute()


def test_a_failed_task_runs_again_here_for_a_debugger(pool: Session) -> None:
    ran_in: list[int] = []

    def fail(x: int) -> None:
        ran_in.append(os.getpid())
        raise LookupError(f"no {x}")

    with pytest.raises(LookupError, match="no 4"):
        dask.delayed(fail)(dask.delayed(abs)(-4)).compute(rerun_exceptions_locally=True)
    assert os.getpid() in ran_in


def test_progress_bars_count(pool: Session, capsys: pytest.CaptureFixture[str]) -> None:
    from dask.diagnostics import ProgressBar

    with ProgressBar(minimum=0):
        dask.delayed(abs)(-1).compute()
    assert "100% Completed" in capsys.readouterr().out


class Elsewhere:
    """An object that must not be loaded in the process `home`."""

    def __init__(self, home: int) -> None:
        assert os.getpid() != home, "an intermediate result came to the notebook"
        self.home = home

    def __reduce__(self) -> Any:
        return Elsewhere, (self.home,)


@embedded_only
def test_intermediate_results_do_not_come_here(pool: Session) -> None:
    things = [dask.delayed(Elsewhere)(os.getpid()) for _ in range(2)]
    assert dask.delayed(len)(things).compute(optimize_graph=False) == 2


@embedded_only
def test_large_data_in_the_graph_is_shared(pool: Session) -> None:
    large = np.ones(1_000_000)

    def look(array: Any, times: int) -> tuple[float, bool]:
        return float(array.sum()) * times, array.flags.writeable

    graph = {"large": large, **{f"look-{i}": (look, "large", i) for i in range(4)}}
    assert cm.dask_get(graph, [f"look-{i}" for i in range(4)]) == tuple((1e6 * i, False) for i in range(4))


def hold(started: Path) -> None:
    started.touch()
    time.sleep(60)


def fail_after(started: Path) -> None:
    while not started.exists():
        time.sleep(0.01)
    raise LookupError


@embedded_only
def test_a_failure_ends_what_still_runs(pool: Session, tmp_path: Path) -> None:
    started = tmp_path / "started"
    with pytest.raises(LookupError):
        dask.compute(dask.delayed(hold)(started), dask.delayed(fail_after)(started))
    assert cm.dask_get({f"x{i}": (abs, -i) for i in range(4)}, [f"x{i}" for i in range(4)]) == (0, 1, 2, 3)


@embedded_only
def test_a_graph_inside_a_task(pool: Session) -> None:
    def inner(count: int) -> Any:
        import dask

        import cellmesh as cm

        squares = [dask.delayed(pow)(i, 2) for i in range(count)]
        return dask.delayed(sum)(squares).compute(scheduler=cm.dask_get)

    futures = [cm.submit(inner, 4) for _ in range(4)]
    assert [future.result(30) for future in futures] == [14] * 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_all_workers_hash_alike(method: str, tmp_path: Path) -> None:
    """dask deals out the items of bags by their hashes, in several workers."""
    code = (
        "import os, pathlib, time\n"
        "import cellmesh as cm\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "def look(i):\n"
        "    (folder / str(i)).touch()\n"
        "    while len(list(folder.iterdir())) < 2:\n"
        "        time.sleep(0.01)\n"
        "    return os.getpid(), hash('word')\n"
        "looked = [future.result() for future in [cm.submit(look, i) for i in range(2)]]\n"
        "print(len({pid for pid, _ in looked}), len({value for _, value in looked}))\n"
    )
    environ = {**os.environ, "CELLMESH_START_METHOD": method, "CELLMESH_CPUS": "2"}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert ended.stdout == "2 1\n", ended.stderr
