"""Item 1: a notebook finds its server's hub, and at the end nothing is left, however the end comes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import leftovers
from tests.support.server import Server

WORK = "%load_ext cellmesh\nimport cellmesh as cm\nprint(cm.map(lambda x: x + 1, range(4)).result())"


def named(runtime: Path, name: str) -> int:
    """The pid of a cellmesh process by the name that it shows in ps."""
    found = [process.pid for process in leftovers.processes(runtime) if process.name() == name]
    assert len(found) == 1, leftovers.processes(runtime)
    return found[0]


def test_the_hub_of_the_server_is_found_and_shared(server: Server, runtime: Path) -> None:
    a, b = server.notebook("a.ipynb"), server.notebook("b.ipynb")
    assert "[1, 2, 3, 4]" in a.run(WORK)
    assert "[1, 2, 3, 4]" in b.run(WORK)
    assert named(runtime, "cellmesh-hub") > 0  # one hub for both
    status = server.ask("GET", "cellmesh/api/status")
    assert [session["name"] for session in status["hub"]["sessions"]] == ["a.ipynb", "b.ipynb"]
    a.close()
    b.close()


@pytest.mark.parametrize("victim", ["cellmesh-hub", "cellmesh-nurse", "cellmesh-w0"])
def test_nothing_is_left_after_a_kill(server: Server, runtime: Path, victim: str) -> None:
    book = server.notebook()
    book.run(WORK)
    book.run("%%distributed\nimport subprocess; p = subprocess.Popen(['sleep', '1000'])")
    before = [process.pid for process in leftovers.processes(runtime)]
    sleepers = [
        child.pid for pid in before for child in psutil.Process(pid).children() if child.name() == "sleep"
    ]
    assert len(sleepers) == 2
    os.kill(named(runtime, victim), signal.SIGKILL)
    if victim == "cellmesh-nurse":
        assert leftovers.wait_until_gone(before) == []
        assert [path for path in leftovers.files(runtime) if "doorbell" not in path] == []
        again = (
            "try:\n    print(cm.map(lambda x: x + 1, range(4)).result())\n"
            "except RuntimeError as e:\n    print(e)"
        )
        first = book.run(again)  # may be launched before the kernel knows; then it fails and says what to do
        assert "[1, 2, 3, 4]" in first or "Run the cell again" in first
        assert "[1, 2, 3, 4]" in book.run(again)
    else:
        assert "[1, 2, 3, 4]" in book.run("print(cm.map(lambda x: x + 1, range(4)).result())")
    if victim == "cellmesh-nurse":
        assert leftovers.wait_until_gone(sleepers) == []
    book.close()


@pytest.mark.parametrize("server", [{"CELLMESH_GRACE": "0.2"}], indirect=True)
def test_a_killed_kernel_leaves_nothing_after_the_grace_time(server: Server, runtime: Path) -> None:
    book = server.notebook()
    book.run(WORK)
    book.run("%%distributed\nx = 1")
    pid = int(book.run("import os; print(os.getpid())"))
    mine = [process.pid for process in leftovers.processes(runtime)]
    os.kill(pid, signal.SIGKILL)
    assert leftovers.wait_until_gone(mine) == []
    assert [path for path in leftovers.files(runtime) if "doorbell" not in path] == []
    book.close(shut_down=False)


def test_a_killed_server_leaves_nothing(server: Server, runtime: Path) -> None:
    book = server.notebook()
    book.run(WORK)
    kernel = int(book.run("import os; print(os.getpid())"))
    mine = [process.pid for process in leftovers.processes(runtime)]
    server.kill()
    assert leftovers.wait_until_gone(mine) == []
    os.kill(kernel, signal.SIGKILL)  # a server that is killed leaves its kernels: not ours to end
    book.close(shut_down=False)
    done = subprocess.run(
        [sys.executable, "-m", "cellmesh", "doctor", "--clean"], capture_output=True, text=True, timeout=60
    )
    assert leftovers.files(runtime) == [], done.stdout  # the doorbell of the killed server


def test_hub_and_nursery_killed_at_once_are_swept_by_the_next_start(server: Server, runtime: Path) -> None:
    book = server.notebook()
    book.run(WORK + "\nbig = cm.put(b'x' * 1_000_000)")
    mine = [process.pid for process in leftovers.processes(runtime)]
    for name in ("cellmesh-nurse", "cellmesh-hub"):
        os.kill(named(runtime, name), signal.SIGSTOP)
    for name in ("cellmesh-nurse", "cellmesh-hub"):
        os.kill(named(runtime, name), signal.SIGKILL)
    assert leftovers.wait_until_gone(mine) == []
    assert any("/dev/shm" in path for path in leftovers.files(runtime))
    other = server.notebook("b.ipynb")
    other.run(WORK)
    assert not [path for path in leftovers.files(runtime) if "/dev/shm" in path]
    other.close()
    book.close()


@pytest.mark.parametrize("server", [{"CELLMESH_START_METHOD": "spawn"}], indirect=True)
def test_workers_can_be_spawned_instead_of_forked(server: Server, runtime: Path) -> None:
    book = server.notebook()
    assert "[1, 2, 3, 4]" in book.run(WORK)
    book.run("%%distributed\nx = 1")
    assert "cellmesh-templ" not in [process.name() for process in leftovers.processes(runtime)]
    book.close()


def test_without_the_extension_the_users_hub_serves(runtime: Path) -> None:
    script = (
        "import cellmesh as cm; print(cm.map(abs, [-1, -2]).result()); print(cm.submit(abs, -3).result())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[1, 2]\n3\n", done.stderr
    pids = [process.pid for process in leftovers.processes(runtime)]
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []


def test_the_workers_run_the_kernels_python_not_the_servers(server: Server, tmp_path: Path) -> None:
    """A kernel of another environment: same base Python, another prefix, another package in it."""
    environment = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    ours = [entry for entry in sys.path if entry.endswith("site-packages")]
    checkout = Path(__file__).parents[2]
    (site / "everything.pth").write_text("\n".join([*ours, str(checkout)]))
    (site / "only_here.py").write_text("where = 'the other environment'")
    spec = server.connection_files.parent / "data" / "kernels" / "other"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["%s", "-m", "ipykernel_launcher", "-f", "{connection_file}"],'
        ' "display_name": "other", "language": "python"}' % (environment / "bin" / "python")
    )
    book = server.notebook("other.ipynb", kernel="other")
    book.run("%load_ext cellmesh")
    shown = book.run("%%distributed\nimport sys, only_here\nprint(sys.prefix, only_here.where)")
    assert len(re.findall(re.escape(f"{environment} the other environment"), shown)) >= 1
    book.close()
