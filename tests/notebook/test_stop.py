"""Item 6: Stop, through the REST route that JupyterLab's ■ uses."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from jupyter_core.utils import ensure_event_loop

from tests.support.server import CellError, Notebook, Server


class Running:
    """A cell that runs in a thread, so that the test can press Stop meanwhile."""

    def __init__(self, book: Notebook, code: str) -> None:
        self._outcome: queue.Queue[Any] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(book, code), daemon=True)
        self._thread.start()

    def _run(self, book: Notebook, code: str) -> None:
        try:
            self._outcome.put(book.run(code))
        except CellError as error:
            self._outcome.put(error)
        finally:
            ensure_event_loop().close()  # the client made one for this thread

    def end(self) -> Any:
        """What it returned, or the CellError it ended with."""
        return self._outcome.get(timeout=60)


def until(folder: Path, name: str) -> None:
    """Wait until workers have made this file: they are inside user code then."""
    deadline = time.monotonic() + 30
    while not (folder / name).exists():
        assert time.monotonic() < deadline, f"{name} was never made"
        threading.Event().wait(0.02)


@pytest.fixture
def book(server: Server) -> Notebook:
    book = server.notebook()
    book.run("%load_ext cellmesh\nimport cellmesh as cm, time, os, pathlib")
    book.run("%%distributed\nkept = 'still here'")
    return book


@pytest.mark.parametrize(
    "wait", ["time.sleep(600)", "while True: pass", "import subprocess; subprocess.run(['sleep', '600'])"]
)
def test_stop_interrupts_the_cell_and_keeps_namespaces(server: Server, book: Notebook, wait: str) -> None:
    cell = Running(book, f"%%distributed\nimport time, pathlib\npathlib.Path('in').touch()\n{wait}")
    until(server.root, "in")
    book.interrupt()
    error = cell.end()
    assert isinstance(error, CellError)
    assert error.name == "KeyboardInterrupt"
    assert book.run("%%distributed\nprint(kept)").count("still here") >= 1
    assert "is new" not in book.run("%%distributed\n1")


def test_stop_drops_queued_items_of_a_map(server: Server, book: Notebook) -> None:
    cell = Running(
        book,
        "def f(i):\n"
        "    pathlib.Path(f'item{i}').touch(); time.sleep(0.2 if i < 2 else 600); return i\n"
        "cm.map(f, range(100)).result()",
    )
    until(server.root, "item2")
    book.interrupt()
    error = cell.end()
    assert isinstance(error, CellError)
    assert error.name == "KeyboardInterrupt"
    assert "[7]" in book.run("print(cm.map(lambda x: x, [7]).result())")  # the slots are free again
    assert len(list(server.root.glob("item*"))) < 20


def test_stop_while_the_cell_waits_on_something_else_cancels_what_it_launched(
    server: Server, book: Notebook
) -> None:
    cell = Running(
        book,
        "def f():\n    pathlib.Path('in').touch(); time.sleep(600)\nfut = cm.submit(f)\ntime.sleep(600)",
    )
    until(server.root, "in")
    book.interrupt()
    assert cell.end().name == "KeyboardInterrupt"
    assert "cancelled True" in book.run(
        "try:\n    fut.result(30)\nexcept BaseException as e:\n    print('cancelled', fut.cancelled())"
    )


def test_waiting_for_a_background_job_is_only_abandoned(server: Server, book: Notebook) -> None:
    book.run(
        "def f(i):\n    pathlib.Path('in').touch()\n"
        "    while not pathlib.Path('go').exists(): time.sleep(0.01)\n    return i"
    )
    book.run("r = cm.map(f, range(2), background=True)")
    cell = Running(book, "r.result()")
    until(server.root, "in")
    book.interrupt()
    error = cell.end()
    assert isinstance(error, CellError)
    assert error.name == "KeyboardInterrupt"
    (server.root / "go").touch()
    assert "[0, 1]" in book.run("print(r.result())")


def test_a_worker_that_never_yields_is_replaced(server: Server, book: Notebook) -> None:
    """Native code that holds the GIL and takes no signals; the next cell works and says what happened."""
    stuck = (
        "%%distributed --workers 0\nimport ctypes, pathlib\npathlib.Path('in').touch()\n"
        "ctypes.PyDLL(None).sleep(600)"
    )
    cell = Running(book, stuck)
    until(server.root, "in")
    book.interrupt()
    assert cell.end().name == "KeyboardInterrupt"
    shown = book.run("%%distributed\nprint('works', 'kept' in globals())")
    assert "works False" in shown
    assert "works True" in shown
    assert "worker 0" in shown


def test_an_interrupt_that_comes_late_hits_nobody(server: Server, book: Notebook) -> None:
    book.run("%%distributed\n1")
    book.interrupt()
    assert "fine" in book.run("%%distributed\nimport time; time.sleep(0.3); print('fine')")
