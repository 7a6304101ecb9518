"""Attaching to a hub that ends at that moment, and what a script leaves open."""

import os
import subprocess
import sys

import pytest

from .conftest import Kernel

ENDING = """
import os, signal
import cellmesh as cm
import psutil
from cellmesh.kernel import identity
from cellmesh.scheduler.wire import folders

find, met = identity.find, []

def find_and_end():
    found = find()
    if len(met) < {times}:
        met.append(found.folder)
        nursery = psutil.Process(folders.read_connection(found.folder).pid).parent()
        os.kill(nursery.pid, signal.SIGKILL)
        try:
            os.close(folders.take_lock(found.folder / "lock", wait=True))  # the hub is gone too
        except FileNotFoundError:
            pass
        if {swept}:
            folders.sweep()
        else:
            folders.make_hub_folders(found.folder.name)
            folders.write_connection(found.folder, connection(found.folder))
    return found

def connection(folder):
    return folders.Connection(MINE, folder.name, "ipc://" + str(folder / "nobody"), os.getpid(), "")

from cellmesh.scheduler.wire.messages import PROTOCOL as MINE
identity.find = find_and_end
"""


@pytest.mark.usefixtures("runtime")
class TestAHubThatIsJustEnding:
    """Found by the doorbell or the lock, and gone before it could be attached to."""

    @pytest.fixture
    def engine_name(self) -> str:
        return "embedded"

    @pytest.mark.parametrize("swept", [True, False])
    def test_another_is_started(self, kernel: Kernel, swept: bool) -> None:
        kernel.ok(ENDING.format(times=2, swept=swept))
        assert kernel.ok("cm.submit(abs, -3).result(), len(met)").result == "(3, 2)"

    def test_a_hub_that_always_ends_is_told(self, kernel: Kernel) -> None:
        kernel.ok(ENDING.format(times=9, swept=True))
        shown = kernel.run("cm.submit(abs, -3).result()")
        assert shown.error.startswith("HubGoneError: There is no cellmesh hub at")
        assert kernel.ok("len(met)").result == "3"


def test_calls_of_a_script_are_finished_when_they_are_over(engine_name: str) -> None:
    code = (
        "import cellmesh as cm\n"
        "calls = [cm.submit(abs, -n) for n in range(4)]\n"
        "print([call.result() for call in calls], calls[0].job.summary())\n"
        "print(cm.jobs())\n"
        "print(cm.submit(abs, -9).result(), calls[0].job.summary())"
    )
    environ = dict(os.environ, CELLMESH_ENGINE=engine_name)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "[0, 1, 2, 3] 4/4, idle"
    assert "4/4" in lines[2]
    assert "finished" in lines[2]
    assert lines[3] == "9 4/4, finished"
