"""What a stranger gets wrong: one clear line that says what to do, and nothing half-done is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

import cellmesh
from tests.support import leftovers
from tests.support.server import CellError, Notebook, Server

# Some of these kernels use the user's own hub, which lives on for their grace time.
pytestmark = pytest.mark.parametrize("server", [{"CELLMESH_GRACE": "0.2"}], indirect=True)


@pytest.fixture
def book(server: Server) -> Notebook:
    return server.notebook()


def refused(book: Notebook, code: str) -> str:
    """The one line that the cell ends with."""
    with pytest.raises(CellError) as caught:
        book.run(code)
    message = str(caught.value)
    assert caught.value.name in ("UsageError", "TypeError"), caught.value.traceback
    assert "\n" not in message
    return message


def test_options_and_targets(server: Server, book: Notebook) -> None:
    book.run("%load_ext cellmesh")
    assert "--background" in refused(book, "%%distributed --bakground\n1")
    assert "not iterable" in refused(book, "%%distributed --over 5 --as x\nx")
    assert "there is no worker 7" in refused(book, "%%distributed --workers 7\n1")
    assert "at least one worker" in refused(book, "%%distributed -n 0\n1")
    assert "start" in refused(book, "%mesh strat")
    assert "this machine has none" in refused(book, "%%distributed --gpus 1\n1")
    status = server.ask("GET", "cellmesh/api/status")
    assert status["hub"]["sessions"][0]["jobs"] == []


def test_a_second_load_ext_is_harmless(book: Notebook) -> None:
    book.run("%load_ext cellmesh")
    book.run("%%distributed\nx = 1")
    assert "already" in book.run("%load_ext cellmesh")
    assert "1" in book.run("%%distributed\nprint(x)")


def test_a_hub_of_another_version_is_left_alone(server: Server, book: Notebook, runtime: Path) -> None:
    book.run("%load_ext cellmesh")
    (connection,) = (runtime / "cellmesh").glob("server-*/connection.json")
    content = json.loads(connection.read_text())
    connection.write_text(json.dumps({**content, "protocol": 99}))
    other = server.notebook("b.ipynb")
    shown = other.run("%load_ext cellmesh\nimport cellmesh as cm\nprint(cm.submit(abs, -5).result())")
    assert "another cellmesh version" in shown
    assert "5" in shown
    connection.write_text(json.dumps(content))


def test_a_stale_or_damaged_connection_file(book: Notebook, runtime: Path) -> None:
    (runtime / "cellmesh").mkdir(mode=0o700, exist_ok=True)
    stale = runtime / "cellmesh" / f"user-{cellmesh.__version__}"
    stale.mkdir(mode=0o700)
    (stale / "connection.json").write_text("{damaged")
    assert "5" in book.run(
        "import os; os.environ.pop('CELLMESH_DOORBELL')\n%load_ext cellmesh\n"
        "import cellmesh as cm\nprint(cm.submit(abs, -5).result())"
    )


def test_a_doorbell_that_nobody_hears(book: Notebook) -> None:
    shown = book.run(
        "import os; os.environ['CELLMESH_DOORBELL'] = '/nowhere/doorbell.sock'\n%load_ext cellmesh\n"
        "import cellmesh as cm\nprint(cm.submit(abs, -5).result())"
    )
    assert "5" in shown
    assert "did not answer" in shown


def test_a_runtime_folder_that_others_may_read(book: Notebook, runtime: Path) -> None:
    open_folder = runtime / "open"  # a short path: longer ones are not used for sockets
    (open_folder / "cellmesh").mkdir(parents=True, mode=0o755)
    line = refused(
        book,
        "import os; os.environ.pop('CELLMESH_DOORBELL')\n"
        f"os.environ['XDG_RUNTIME_DIR'] = {str(open_folder)!r}\n"
        "%load_ext cellmesh",
    )
    assert "chmod 700" in line
    assert list((open_folder / "cellmesh").iterdir()) == []
    shutil.rmtree(open_folder)


def test_a_sleeping_machine_loses_no_worker(server: Server, book: Notebook, runtime: Path) -> None:
    """All processes stand still and go on, as after a suspended laptop: the same workers, nothing said."""
    book.run("%load_ext cellmesh")
    before = book.run("%%distributed\nimport os; print('pid', os.getpid())")
    pids = [process.pid for process in leftovers.processes(runtime)]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            os.kill(pid, number)
    after = book.run("%%distributed\nprint('pid', os.getpid())")
    assert sorted(after.splitlines()) == sorted(before.splitlines())
