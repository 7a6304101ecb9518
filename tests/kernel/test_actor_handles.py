"""What handles of actors and of replicas are in a notebook, beside their methods."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel

MODEL = """
%load_ext cellmesh
import cellmesh as cm, inspect, pickle

@cm.actor(name="llm")
class Model:
    def __init__(self, lr=1):
        self.lr = lr
    def rate(self, factor: int = 1) -> int:
        "The learning rate, times a factor."
        return self.lr * factor
    @staticmethod
    def twice(x):
        return 2 * x
    def __call__(self, x):
        return x + self.lr
    def count(self, n):
        yield from range(n)
    def boom(self, x=0):
        raise ValueError("no")

@cm.actor
class Server:
    def stop(self):
        return "its own"
    @property
    def port(self):
        return 80

@cm.actor
class Plain:
    def add(self, x):
        return x + 1
"""

only_processes = pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)


@pytest.fixture
def model(kernel: Kernel) -> Kernel:
    kernel.ok(MODEL)
    kernel.ok("h = Model.start()")
    return kernel


def test_attributes_are_set_where_the_object_is(model: Kernel) -> None:
    error = model.run("h.lr = 3").error
    assert error.startswith("AttributeError: A handle of llm has no attribute 'lr' to be set")
    assert "%%distributed --actor llm, and self.lr = 3" in error
    assert "to be set" in model.run("Plain.start(replicas=2).lr = 3").error
    assert model.ok("h.rate().result()").result == "1"


def test_what_has_a_call_can_be_called(model: Kernel) -> None:
    assert model.ok("h(3).result()").result == "4"
    assert "cannot be called: its class has no __call__" in model.run("Plain.start()(3)").error
    error = model.run("h.rat()").error
    assert "did you mean rate?" in error
    assert "__call__" not in model.run("h.zzzzzz()").error


def test_a_method_tells_what_it_is(model: Kernel) -> None:
    assert model.ok("str(inspect.signature(h.rate))").result == "'(factor: int = 1) -> int'"
    assert model.ok("str(inspect.signature(h.twice)), h.rate.__doc__").result == (
        "('(x)', 'The learning rate, times a factor.')"
    )
    unknown = model.ok("g = cm.get_actor('llm')\nstr(inspect.signature(g.rate))").result
    assert unknown == "'(*args: Any, **kwargs: Any) -> Any'"


def test_handles_of_one_actor_are_equal(model: Kernel) -> None:
    assert model.ok("g = pickle.loads(pickle.dumps(h))\ng == h, len({g, h}), h == Plain.start()").result == (
        "(True, 1, False)"
    )


def test_streams_close_as_generators_do(model: Kernel) -> None:
    model.ok("from contextlib import closing\nwith closing(h.count(10**9)) as s: assert next(s) == 0")
    model.ok("s = h.count(10**9)\nawait s.aclose()")
    assert model.ok("h.rate().result()").result == "1"


def test_what_the_handle_hides_can_be_called(model: Kernel) -> None:
    shown = model.ok("s = Server.start()")
    assert """h["stop"](...) calls the class's own""" in shown.stdout + shown.stderr
    assert model.ok("s['stop']().result()").result == "'its own'"
    assert "is a property" in model.run("s.port").error
    assert "not iterable" in model.run("list(s)").error


def test_what_was_handed_out_of_an_endless_map_is_not_kept(model: Kernel) -> None:
    model.ok("""
import gc, itertools, weakref
ys = h.rate.map(itertools.count(1))
first = weakref.ref(ys._futures[0])
for n, y in enumerate(ys, start=1):
    assert y == n
    if n == 1000: break
gc.collect()
assert first() is None
""")
    assert "are not kept" in model.run("ys[0]").error
    assert model.ok("ys[1000], ys.cancel()").result == "(1001, None)"


def test_no_name_is_no_name(model: Kernel) -> None:
    model.ok("g = Model.options(name=None).start(2)\nk = Model.start(3, name=None)")
    assert model.ok("g.rate().result(), k.rate().result(), len(cm.actors())").result == "(2, 3, 3)"


def test_what_differs_is_said(model: Kernel) -> None:
    assert "(What differs: the arguments.)" in model.run("Model.start(2)").error
    assert "(What differs: the options.)" in model.run("Model.start(restarts=1)").error


@only_processes
def test_a_pool_is_named_as_one(model: Kernel) -> None:
    model.ok("p = Plain.start(replicas=2, name='reps')\nassert p.add(1).result() == 2")
    shown = model.run("%%distributed --actor reps\n1")
    assert "it is a pool; name one of reps/0, reps/1" in shown.stderr
    model.ok("class Plain:\n    def add(self, x): return x + 2\nPlain = cm.actor(Plain)")
    model.ok("%mesh reload reps")
    assert model.ok("[h.add(1).result() for h in p]").result == "[3, 3]"
    assert len(model.ok("[f.result() > 0 for f in p.checkpoint()]").result.split(",")) == 2
    shown = model.ok("%mesh free reps")
    assert shown.stdout.count("has ended") == 2
    model.ok("p.scale(2)")
    assert model.ok("[h.add(1).result() for h in p], p").result.startswith("([2, 2], <cellmesh actors reps: ")


def test_a_folder_of_names_is_no_pool(model: Kernel) -> None:
    model.ok("a, b = Model.start(name='team/0'), Plain.start(name='team/1')")
    assert "team" in model.run("cm.get_actor('team')").error
    assert model.ok("cm.get_actor('team/0').rate().result()").result == "1"


@only_processes
def test_one_that_has_ended_is_shown_in_one_line(model: Kernel) -> None:
    model.ok("import os, signal\ng = Plain.start()\nassert g.add(1).result() == 2")
    model.ok("%%distributed --actor llm\nprint('last words')")
    model.ok("import time\nos.kill(h._caller.info.pid, signal.SIGKILL)")
    model.ok("while 'ended' not in repr(h): time.sleep(0.01)")
    shown = model.ok("h").result
    assert "was killed by SIGKILL" in shown
    assert "It said last" not in shown
    assert "\n" not in shown


def test_many_that_fail_are_one_line(model: Kernel) -> None:
    model.ok("assert h.rate().result() == 1")
    cells = [model.ok(code) for code in ("fs = [h.boom(i) for i in range(100)]", "_ = cm.wait(fs)", "1")]
    told = [line for shown in cells for line in shown.stderr.splitlines() if "boom" in line]
    assert 1 <= len(told) <= 4


@only_processes
def test_an_actor_that_waits_for_itself_is_told(model: Kernel) -> None:
    model.ok("""
@cm.actor(name="me")
class Own:
    def one(self):
        return 1
    def ask(self):
        return cm.get_actor("me").one().result()
    async def wait(self):
        return await cm.get_actor("me").one()
o = Own.start()
""")
    assert "waits for itself: me.one cannot begin" in model.run("o.ask().result()").error
    assert model.ok("o.wait().result(), o.one().result()").result == "(1, 1)"


@only_processes
def test_a_wait_says_what_still_runs(model: Kernel, tmp_path: Path) -> None:
    model.ok(f"folder = {str(tmp_path)!r}")
    model.ok("""
import os, time
@cm.actor(name="deaf")
class Deaf:
    def fit(self, gate):
        open(gate + ".begun", "w").close()
        while not os.path.exists(gate):
            try:
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass
    def one(self):
        return 1
d = Deaf.start()
gate = os.path.join(folder, "gate")
f = d.fit(gate)
while not os.path.exists(gate + ".begun"): time.sleep(0.01)
f.cancel()
""")
    error = model.run("d.one().result(1.5)").error
    assert error.startswith("TimeoutError: deaf.one: no answer within 1.5 s")
    assert "deaf.fit was cancelled, and still runs" in error
    model.ok("open(gate, 'w').close()")
    assert model.ok("d.one().result()").result == "1"
