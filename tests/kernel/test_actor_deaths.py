"""What callers see of an actor whose process dies, and of calls that fail while nobody looks."""

from __future__ import annotations

import pytest

from .conftest import Kernel

MORTAL = """
%load_ext cellmesh
import cellmesh as cm, os, signal, time

@cm.actor(name="m")
class Mortal:
    def __init__(self, n=0):
        self.n = n
        print("made by", os.getpid())
    def pid(self):
        return os.getpid()
    def add(self, k=1):
        self.n += k
        return self.n
    def die(self):
        print("goodbye")
        os.kill(os.getpid(), signal.SIGKILL)
    def die_once(self, path):
        if not os.path.exists(path):
            open(path, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"
    @cm.method(retry=True)
    def again(self, path):
        return self.die_once(path)
    def fail(self):
        raise ValueError("nobody looks")
"""


@pytest.fixture
def mortal(kernel: Kernel) -> Kernel:
    kernel.ok(MORTAL)
    return kernel


only_processes = pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)


@only_processes
def test_no_item_of_a_stream_comes_twice(mortal: Kernel) -> None:
    mortal.ok("""
@cm.actor(restarts=3)
class Teller:
    @cm.method(retry=True)
    def count(self, n, pause):
        for i in range(n):
            time.sleep(pause)
            yield i
t = Teller.start()
s = t.count(10**6, 0.001)
taken = [next(s) for _ in range(200)]
os.kill(t._caller.info.pid, signal.SIGKILL)
try:
    for item in s: taken.append(item)
except cm.ActorDied as error:
    assert "no more items come" in str(error), error
assert taken == list(range(len(taken)))
assert list(t.count(5, 0)) == [0, 1, 2, 3, 4]
""")


@only_processes
def test_a_call_on_a_dead_one_says_when_and_why_and_its_last_lines(mortal: Kernel) -> None:
    mortal.ok("h = Mortal.start()")
    for call in ("h.die().result()", "h.add().result()"):
        error = mortal.run(call).error
        assert error.startswith('ActorDied: The actor "m" ')
        assert "SIGKILL" in error
        assert "goodbye" in error
    mortal.ok("h = Mortal.start()")
    assert mortal.ok("h.add().result()").result == "1"


@only_processes
def test_with_restarts_what_had_not_begun_goes_on(mortal: Kernel) -> None:
    mortal.ok("h = Mortal.start(restarts=3)\nbefore = h.pid().result()")
    mortal.ok("fs = [h.die(), h.pid(), h.pid()]")
    assert "was running" in mortal.run("fs[0].result()").error
    assert mortal.ok("len({f.result() for f in fs[1:]} - {before})").result == "1"
    assert "restart 1" in mortal.ok("cm.actors()").result


@only_processes
def test_who_comes_back_says_from_which_state(mortal: Kernel) -> None:
    dies = "try:\n    h.die().result()\nexcept cm.ActorDied:\n    pass\nh.add().result()"
    mortal.ok("h = Mortal.start(restarts=3, checkpoint=False)\nh.add().result()")
    told = mortal.ok(dies)
    assert told.result == "1"
    assert "goes on from the beginning: it had no checkpoint yet" in told.stderr
    mortal.ok("h.checkpoint().result()")
    told = mortal.ok(dies)
    assert told.result == "2"
    assert "goes on from its checkpoint of " in told.stderr


@only_processes
def test_a_method_that_may_run_twice_does(mortal: Kernel) -> None:
    mortal.ok("h = Mortal.start(restarts=3)")
    assert mortal.ok("h.again('one').result()").result == "'alive'"
    assert "retry=True" in mortal.run("h.die_once('two').result()").error


@only_processes
def test_calls_go_on_while_the_hub_is_dead(mortal: Kernel) -> None:
    mortal.ok("h = Mortal.start(5)\nh.add().result()")
    mortal.ok(
        "import cellmesh.kernel.attaching as a\n"
        "hub = a.current().engine.status()\n"
        "os.kill(hub.pid, signal.SIGKILL)\n"
        "assert [h.add().result() for _ in range(100)][-1] == 106"
    )
    assert mortal.ok("cm.get_actor('m').add().result()").result == "107"
    assert mortal.ok("a.current().engine.status().pid != hub.pid").result == "True"


def test_a_failure_that_nobody_asked_for_is_told(mortal: Kernel) -> None:
    mortal.ok("h = Mortal.start()\nh.add().result()")
    shown = mortal.ok("f = [h.fail() for _ in range(3)]\ncm.wait(h.add())")
    assert "m.fail 3 calls failed, first: ValueError: nobody looks; .result() raises it" in shown.stderr
    shown = mortal.run("h.fail().result()")
    assert "nobody looks; .result()" not in shown.stderr


@only_processes
def test_what_is_called_back_by_a_death_may_wait_for_others_that_call(mortal: Kernel) -> None:
    mortal.ok("""
import threading
h = Mortal.start()
h.add().result()
over, went = threading.Event(), []
def back(_):
    other = threading.Thread(target=h.add)
    other.start()
    other.join(10)
    went.append(not other.is_alive())
    over.set()
f = h.die()
f.add_done_callback(back)
""")
    assert mortal.ok("over.wait(30), went").result == "(True, [True])"
