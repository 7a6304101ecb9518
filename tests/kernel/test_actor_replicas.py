"""Several actors behind one handle."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel

WORKERS = """
%load_ext cellmesh
import cellmesh as cm, os, time

@cm.actor
class Worker:
    def __init__(self, base=0):
        self.base = base
    def add(self, x):
        return self.base + x
    def hold(self, gate):
        while gate and not os.path.exists(gate):
            time.sleep(0.01)
        return os.getpid()
    def count(self, n):
        yield from range(n)
"""


@pytest.fixture
def workers(kernel: Kernel, tmp_path: Path) -> Kernel:
    kernel.ok(WORKERS)
    kernel.ok(f"gate = {str(tmp_path / 'gate')!r}")
    return kernel


def test_they_look_like_one(workers: Kernel) -> None:
    workers.ok("p = Worker.start(10, replicas=3)")
    assert workers.ok("p.add(1).result(), p.add.map([1, 2, 3]).result(), list(p.count(3))").result == (
        "(11, [11, 12, 13], [0, 1, 2])"
    )
    assert workers.ok("list(p.add.map(range(50))) == [10 + x for x in range(50)], len(p)").result == (
        "(True, 3)"
    )
    assert "did you mean add?" in workers.run("p.ad(1)").error
    assert workers.ok("cm.submit(lambda: p.add(5).result()).result()").result == "15"
    assert workers.ok("p").result.startswith("<cellmesh actors Worker: ")


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_who_is_busy_gets_less(workers: Kernel) -> None:
    workers.ok("p = Worker.start(replicas=2)\nf = p.hold(gate)")
    workers.ok("pids = {p.hold(None).result() for _ in range(20)}\nassert len(pids) == 1")
    workers.ok("ys = p.hold.map([None] * 100)")
    workers.ok("while ys.progress()[0] < 100 - 8: time.sleep(0.01)")  # those behind the one that is held
    workers.ok("open(gate, 'w').close()\nassert f.result() not in pids")
    assert workers.ok("set(ys.result()) == pids | {f.result()}").result == "True"


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_they_become_more_and_fewer(workers: Kernel) -> None:
    workers.ok("p = Worker.start(replicas=1)\np.scale(3)")
    workers.ok("fs = [p.hold(gate) for _ in range(6)]\nopen(gate, 'w').close()")
    assert workers.ok("len({f.result() for f in fs})").result == "3"
    workers.ok("os.unlink(gate)\nfs = [p.hold(gate) for _ in range(6)]\np.scale(1)\nopen(gate, 'w').close()")
    assert workers.ok("len({f.result() for f in fs})").result == "3"  # what they had, they answer
    workers.ok("while len(cm.actors()) > 1: time.sleep(0.05)")
    assert "at least 1" in workers.run("p.scale(0)").error


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_one_that_has_ended_gets_no_calls_and_is_told(workers: Kernel) -> None:
    workers.ok("p = Worker.start(replicas=3, name='w')\nfirst, second, _ = p\nfor h in p: h.add(0).result()")
    shown = workers.ok("second.stop()\nassert [p.add(1).result() for _ in range(30)] == [1] * 30\nlen(p)")
    assert shown.result == "2"
    assert ": 2 of them left; .scale(3) starts another" in shown.stdout + shown.stderr
    workers.ok("p.scale(3)\nassert [p.add(1).result() for _ in range(30)] == [1] * 30")
    assert workers.ok("len(cm.actors()), cm.get_actor('w/1').add(2).result()").result == "(3, 2)"
    workers.ok("p.stop()")
    assert "was stopped" in workers.run("p.add(1).result()").error


def test_a_name_finds_them_all(workers: Kernel) -> None:
    workers.ok("p = Worker.start(1, replicas=2, name='many')")
    assert workers.ok("cm.get_actor('many').add(1).result(), len(cm.actors())").result == "(2, 2)"
    assert "start(replicas=3) there" in workers.run("cm.get_actor('many').scale(3)").error
    workers.ok("p.stop()")
    assert "many" in workers.run("cm.get_actor('many')").error


def test_a_map_that_cannot_go_on_ends(workers: Kernel) -> None:
    workers.ok("import threading\np = Worker.start(replicas=2)")
    assert "pickle" in workers.run("p.add.map([1] * 100 + [threading.Lock()] + [1] * 100).result()").error
    assert "pickle" in workers.run("for y in p.add.map([1] * 100 + [threading.Lock()]): pass").error
    workers.ok("p.stop()")
    assert "was stopped" in workers.run("p.add.map(range(2000)).result()").error


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_one_that_is_too_many_and_dies_over_its_last_call_does_not_stay(workers: Kernel) -> None:
    workers.ok("""
import signal
@cm.actor(restarts=2)
class Mortal:
    def pid(self): return os.getpid()
    def die(self): os.kill(os.getpid(), signal.SIGKILL)
p = Mortal.start(replicas=2)
_, last = p
last.pid().result()
f = last.die()
p.scale(1)
""")
    assert "was running" in workers.run("f.result()").error
    workers.ok("while len(cm.actors()) > 1: time.sleep(0.05)")


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_what_others_have_called_counts(workers: Kernel) -> None:
    workers.ok("@cm.actor(threads=8)\nclass Wide(Worker): pass\np = Wide.start(replicas=2)\nbusy, idle = p")
    workers.ok("pid = idle.hold(None).result()")
    workers.ok(
        "def calls(h):\n    return len([f.result() for f in [h.hold(gate) for _ in range(4)]])\n"
        "held = cm.submit(calls, busy)"
    )
    workers.ok("while busy.hold(None).result() and busy._caller.others < 4: time.sleep(0.01)")
    assert workers.ok("{p.hold(None).result() for _ in range(4)} == {pid}").result == "True"
    workers.ok("open(gate, 'w').close()")
    assert workers.ok("held.result()").result == "4"
    assert workers.ok("len({p.hold(None).result() for _ in range(20)})").result == "2"
