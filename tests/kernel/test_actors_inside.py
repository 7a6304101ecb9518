"""Actors used from tasks and from other actors, and what becomes of them as kernels restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.killing import until

from tests.support import leftovers

from .conftest import Kernel, started

COUNTER = """
%load_ext cellmesh
import cellmesh as cm

@cm.actor
class Counter:
    def __init__(self, n=0):
        self.n = n
    def add(self, k=1):
        self.n += k
        return self.n
    def say(self):
        print("it has", self.n)
"""


@pytest.fixture
def counter(kernel: Kernel) -> Kernel:
    kernel.ok(COUNTER)
    return kernel


def test_a_handle_travels_to_tasks(counter: Kernel) -> None:
    counter.ok("h = Counter.start(5)")
    assert counter.ok("cm.submit(lambda h, k: h.add(k).result(), h, 10).result()").result == "15"
    assert counter.ok("sorted(cm.map(lambda k: h.add(k).result(), [1, 1]).result())").result == "[16, 17]"


def test_a_handle_travels_to_actors_and_back(counter: Kernel) -> None:
    counter.ok(
        "@cm.actor\nclass Boss:\n"
        "    def __init__(self, h): self.h = h\n"
        "    def ask(self, k): return self.h.add(k).result()\n"
        "    def mine(self): return self.h\n"
        "    def talk(self): self.h.say().result()\n"
        "h = Counter.start()\nb = Boss.start(h)"
    )
    assert counter.ok("b.ask(3).result(), b.mine().result().add(1).result()").result == "(3, 4)"
    assert "it has 4" in counter.ok("b.talk().result()").stdout


def test_a_task_starts_one_and_finds_one(counter: Kernel) -> None:
    counter.ok("def begin():\n    return Counter.start(7, name='t').add().result()")
    assert counter.ok("cm.submit(begin).result(), cm.get_actor('t').add().result()").result == "(8, 9)"
    assert counter.ok("cm.submit(lambda: cm.get_actor('t').add().result()).result()").result == "10"


WHO = """
import os, signal

@cm.actor
class Who:
    def pid(self):
        return os.getpid()

def begin(path):
    with open(path, "w") as file:
        h = Who.start()
        file.write(str(h.pid().result()))
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

def lend():
    return Who.start(), os.getpid()
"""


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_what_a_task_started_for_itself_ends_with_its_process(counter: Kernel, tmp_path: Path) -> None:
    counter.ok(WHO)
    path = tmp_path / "pid"
    assert "WorkerLost" in counter.run(f"cm.task(retries=0)(begin).submit({str(path)!r}).result()").error
    assert leftovers.wait_until_gone([int(path.read_text())]) == []


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_what_a_task_started_and_gave_away_does_not(counter: Kernel) -> None:
    counter.ok(WHO)
    counter.ok("h, pid = cm.submit(lend).result()\nbefore = h.pid().result()\nos.kill(pid, signal.SIGKILL)")
    assert leftovers.wait_until_gone([int(counter.ok("pid").result)]) == []
    assert counter.ok("cm.submit(os.getpid).result() != pid").result == "True"
    assert counter.ok("h.pid().result() == before").result == "True"


def test_what_a_task_has_called_prints_where_the_task_was_submitted(counter: Kernel) -> None:
    counter.ok("h = Counter.start(2)")
    assert "it has 2" in counter.ok("cm.submit(lambda: h.say().result()).result()").stdout


NOTEBOOK = "import os; os.environ['JPY_SESSION_NAME'] = '/tmp/{}.ipynb'\n"


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_a_restarted_kernel_runs_all_again_and_has_its_actor(kernel: Kernel) -> None:
    first = NOTEBOOK.format("kept") + COUNTER
    cell = "h = Counter.start(1, name='kept')\nu = Counter.start()"
    kernel.ok(first)
    kernel.ok(cell)
    assert kernel.ok("h.add().result(), u.add().result()").result == "(2, 1)"
    kernel.restart()
    assert "found actor kept (Counter), which is alive" in kernel.ok(first).stdout
    kernel.ok(cell)
    assert kernel.ok("h.add().result(), u.add().result()").result == "(3, 1)"
    assert kernel.ok("len(cm.actors())").result == "2"  # the unnamed one of the first kernel is gone
    kernel.ok("%mesh free kept")


FIT = """
import os, time

@cm.actor
class Fit:
    def fit(self, folder):
        open(folder + "/begun", "w").close()
        print("fitting", flush=True)
        end = time.monotonic() + 30
        while not os.path.exists(folder + "/go") and time.monotonic() < end:
            time.sleep(0.01)
        self.fitted = os.path.exists(folder + "/go")
        return self.fitted
    def seen(self):
        return self.fitted
"""


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
@pytest.mark.parametrize("cell", ["h.fit({!r}).result()", "f = h.fit({!r})"], ids=["waiting", "not"])
def test_a_running_call_of_a_named_one_outlives_the_kernel(kernel: Kernel, tmp_path: Path, cell: str) -> None:
    first = NOTEBOOK.format("kept") + COUNTER + FIT
    kernel.ok(first + "h = Fit.start(name='fit')")
    kernel.client.execute(cell.format(str(tmp_path)))
    until((tmp_path / "begun").exists, "the call has begun")
    kernel.restart(now=False)
    kernel.ok(first)
    (tmp_path / "go").touch()
    assert kernel.ok("cm.get_actor('fit').seen().result()").result == "True"
    kernel.ok("%mesh free fit")


WHERE = """
import os
os.makedirs({0!r})
os.chdir({0!r})

@cm.actor(detached=True)
class Where:
    def tasks(self):
        return cm.submit(os.getcwd).result()
"""


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_tasks_of_detached_actors_run_where_these_were_started(kernel: Kernel, tmp_path: Path) -> None:
    first, other = str(tmp_path / "first"), str(tmp_path / "other")
    kernel.ok(NOTEBOOK.format("one") + COUNTER + WHERE.format(first) + "h = Where.start(name='first')")
    with started("embedded", tmp_path) as second:
        second.ok(NOTEBOOK.format("two") + COUNTER + WHERE.format(other) + "h = Where.start(name='other')")
        assert second.ok("h.tasks().result(30)").result == repr(other)
        assert kernel.ok("h.tasks().result(30)").result == repr(first)
        second.ok("h.stop()")
    kernel.ok("h.stop()")


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_another_notebook_finds_a_detached_one_and_no_other(kernel: Kernel, tmp_path: Path) -> None:
    kernel.ok(NOTEBOOK.format("one") + COUNTER)
    kernel.ok("Counter.start(1, name='ours', detached=True).add().result()\nCounter.start(name='mine')")
    with started("embedded", tmp_path) as second:
        shown = second.ok(NOTEBOOK.format("two") + "%load_ext cellmesh\nimport cellmesh as cm")
        assert "found detached actor ours (Counter)" in shown.stdout
        assert second.ok("cm.get_actor('ours').add().result()").result == "3"
        assert '"mine"' in second.run("cm.get_actor('mine')").error
        kernel.ok("cm.get_actor('mine').stop()")
        assert second.ok("cm.get_actor('ours').add().result()").result == "4"
        second.ok("cm.get_actor('ours').stop()")
        assert '"ours"' in second.run("cm.get_actor('ours')").error
