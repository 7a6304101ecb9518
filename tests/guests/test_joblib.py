"""joblib, and scikit-learn through it, run on the pool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash.conftest import mesh as mesh
from crash.killing import Mesh, kill, until
from guests.conftest import embedded_only

from cellmesh.kernel.session import Session
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire import folders, system
from tests.kernel.conftest import Kernel, kernel as kernel

joblib = pytest.importorskip("joblib", reason="needs joblib")


@pytest.fixture
def engine_name() -> str:
    """Of the kernels."""
    return "embedded"


ORDERS = [
    "import cellmesh, joblib.parallel",
    "import joblib; import cellmesh",
    "import cellmesh; import joblib",
]


@pytest.mark.parametrize("imports", ORDERS)
@pytest.mark.parametrize("choice", ["with joblib.parallel_config('cellmesh', n_jobs=2)", "if True"])
def test_it_is_known_whichever_is_imported_first(imports: str, choice: str) -> None:
    backend = "" if choice.startswith("with") else "backend='cellmesh', n_jobs=2"
    code = f"{imports}\n{choice}:\n    print(type(joblib.Parallel({backend})._backend).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "CellmeshBackend\n", done.stderr


def test_a_grid_search(pool: Session) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn.datasets import make_classification
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import GridSearchCV

    features, labels = make_classification(4000, 40, random_state=0)  # over 1 MB
    search = GridSearchCV(RidgeClassifier(), {"alpha": [0.1, 1.0, 10.0]}, cv=3)
    alone = search.fit(features, labels).cv_results_["mean_test_score"]
    with joblib.parallel_config("cellmesh"):
        together = search.fit(features, labels).cv_results_["mean_test_score"]
    assert together.tolist() == alone.tolist()


def test_calls_are_batched_and_come_back_in_order(pool: Session) -> None:
    with joblib.parallel_backend("cellmesh"):
        assert joblib.Parallel()(joblib.delayed(lambda x: x * x)(i) for i in range(500)) == [
            i * i for i in range(500)
        ]
        generated = joblib.Parallel(return_as="generator")(joblib.delayed(abs)(-i) for i in range(20))
        assert list(generated) == list(range(20))


@embedded_only
def test_calls_run_in_workers(pool: Session) -> None:
    with joblib.parallel_config("cellmesh"):
        ran_in = joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(20))
    assert os.getpid() not in ran_in


class Counted(np.ndarray[Any, Any]):
    """An array that counts how often it is pickled."""

    pickled = 0

    def __reduce_ex__(self, protocol: Any) -> Any:
        type(self).pickled += 1
        return np.asarray(self).__reduce_ex__(protocol)


@embedded_only
def test_a_large_argument_travels_once(pool: Session) -> None:
    large = np.ones(500_000).view(Counted)

    def look(array: Any, other: Any, times: int) -> tuple[float, bool]:
        return float(array.sum()) * times, array.flags.writeable

    with joblib.parallel_config("cellmesh"):
        seen = joblib.Parallel(batch_size=1)(
            joblib.delayed(look)(large, other=large, times=i) for i in range(12)
        )
    assert seen == [(500_000.0 * i, False) for i in range(12)]
    assert Counted.pickled == 1


@embedded_only
def test_the_arguments_of_a_call_go_with_it(pool: Session) -> None:
    prefix = pool.engine.object_prefix()

    def there() -> list[str]:
        return [path.name for path in system.shared_memory_folder().glob(prefix + "*")]

    before = len(there())
    arrays = (np.full(110_000, float(i)) for i in range(30))  # each too small to be shared
    with joblib.parallel_config("cellmesh"):
        sums = joblib.Parallel(batch_size=1)(joblib.delayed(np.sum)(array) for array in arrays)
    assert sums == [110_000.0 * i for i in range(30)]
    pool.engine.status()  # what was freed has been told
    assert len(there()) - before < 12, "so many as were under way at once, to be written again"


def test_a_search_leaves_no_segment_also_if_the_hub_dies(mesh: Mesh) -> None:
    """At the end the fixture looks for what is left of the whole session."""
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier

    prefix = folders.segment_prefix(mesh.folder.name)

    def search() -> None:
        grid = {"n_neighbors": [3, 5, 7]}
        with joblib.parallel_config("cellmesh"):
            GridSearchCV(KNeighborsClassifier(), grid).fit(*load_digits(return_X_y=True))

    def in_use() -> list[str]:
        found = system.shared_memory_folder().glob(prefix + "*")
        return [path.name for path in found if not path.name.endswith(segments.FREE)]

    search()
    until(lambda: not in_use(), "the end of the arguments")
    mesh.kill_hub()
    search()
    until(lambda: not in_use(), "the end of the arguments")
    killed = threading.Timer(0.3, kill, (mesh.hub(),))
    killed.start()
    for _ in range(3):
        search()
    killed.join()
    until(lambda: not in_use(), "the end of the arguments")


def test_progress_shows_itself_where_there_is_no_front_end(tmp_path: Path) -> None:
    code = (
        "import joblib, time, cellmesh\n"
        "with joblib.parallel_config('cellmesh', n_jobs=2):\n"
        "    joblib.Parallel()(joblib.delayed(time.sleep)(0.4) for _ in range(8))\n"
        "    joblib.Parallel()(joblib.delayed(abs)(i) for i in range(8))\n"
    )
    environ = {**os.environ, "CELLMESH_CPUS": "2"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environ)
    [line] = done.stderr.splitlines()
    assert line.startswith("cellmesh: sleep: 8/8, done in ")


def test_progress_shows_itself_in_a_notebook(kernel: Kernel) -> None:
    kernel.ok("%load_ext cellmesh\nimport time, joblib")
    cell = "with joblib.parallel_config('cellmesh'):\n    {}"
    call = "joblib.Parallel()(joblib.delayed(time.sleep)({}) for i in range(8))"
    shown = kernel.ok(cell.format(call.format(0.4)))
    [line] = shown.of("display_data")
    updates = [m["content"]["data"]["text/plain"] for m in shown.of("update_display_data")]
    assert line["content"]["data"]["text/plain"].startswith("cell [2] sleep: ")
    assert updates[-1].startswith("cell [2] sleep: 8/8, done in ")
    failing = (
        "joblib.Parallel()(joblib.delayed(lambda x: time.sleep(0.6) or 1 / (4 - x))(i) for i in range(9))"
    )
    shown = kernel.run(cell.format(failing))
    assert shown.error.startswith("ZeroDivisionError")
    assert ": stopped after " in shown.of("update_display_data")[-1]["content"]["data"]["text/plain"]


class OddError(Exception):
    """Of the test's own."""


def hold_or_fail(index: int, started: Path) -> None:
    if index == 0:
        started.touch()
        time.sleep(60)
    while not started.exists():
        time.sleep(0.01)
    raise OddError(index)


@embedded_only
def test_a_failure_keeps_its_type_and_ends_the_others(pool: Session, tmp_path: Path) -> None:
    with joblib.parallel_config("cellmesh"), pytest.raises(OddError):
        joblib.Parallel(batch_size=1)(joblib.delayed(hold_or_fail)(i, tmp_path / "started") for i in range(2))
    # Both cores are free again, long before the sleep is over.
    with joblib.parallel_config("cellmesh"):
        assert joblib.Parallel()(joblib.delayed(abs)(i) for i in range(4)) == [0, 1, 2, 3]


@embedded_only
@pytest.mark.parametrize("place", [0, 10])
def test_what_cannot_be_sent_is_an_error_wherever_it_comes(pool: Session, place: int) -> None:
    calls = (joblib.delayed(id)(threading.Lock() if i == place else i) for i in range(12))
    with pytest.raises(TypeError, match="lock"):
        joblib.Parallel(n_jobs=2, backend="cellmesh", batch_size=1, pre_dispatch=2)(calls)


@embedded_only
@pytest.mark.parametrize("inner", [None, "cellmesh"])
def test_parallel_inside_parallel(pool: Session, inner: str | None) -> None:
    def outer(count: int) -> int:
        import joblib

        return sum(joblib.Parallel(n_jobs=2, backend=inner)(joblib.delayed(abs)(i) for i in range(count)))

    with joblib.parallel_config("cellmesh"):
        assert joblib.Parallel(batch_size=1)(joblib.delayed(outer)(i) for i in range(6)) == [
            0,
            0,
            1,
            3,
            6,
            10,
        ]


def test_ctrl_c_ends_the_calls(tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = (
        "import cellmesh as cm, faulthandler, joblib, pathlib, time\n"
        "faulthandler.dump_traceback_later(50, exit=True)\n"  # where it hangs
        "def hold(path):\n"
        "    pathlib.Path(path).touch()\n"
        "    time.sleep(600)\n"
        "try:\n"
        "    with joblib.parallel_config('cellmesh', n_jobs=2):\n"
        f"        joblib.Parallel(batch_size=1)(joblib.delayed(hold)({str(started)!r}) for _ in range(2))\n"
        "except KeyboardInterrupt:\n"
        "    print(list(cm.map(abs, [-1, -2])))\n"
    )
    environ = {**os.environ, "CELLMESH_CPUS": "2"}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    end = time.monotonic() + 30
    while not started.exists():
        assert time.monotonic() < end
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    told, complaints = child.communicate(timeout=70)
    assert told == "[1, 2]\n", complaints
