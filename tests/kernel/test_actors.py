"""Actors as a notebook uses them, on every engine: decorate, start, call, find, stop."""

from __future__ import annotations

import re

import pytest

from .conftest import Kernel

COUNTER = """
import cellmesh as cm

@cm.actor
class Counter:
    "Counts."
    def __init__(self, n=0):
        self.n = n
    def add(self, k=1):
        self.n += k
        return self.n
    def fail(self):
        raise ValueError("no", self.n)
    async def later(self):
        return self.n
    def lock(self):
        import threading
        return threading.Lock()
"""


def plain(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture
def counter(kernel: Kernel) -> Kernel:
    kernel.ok(COUNTER)
    return kernel


def test_a_decorated_class_is_still_the_class(counter: Kernel) -> None:
    shown = counter.ok(
        "c = Counter(3)\n"
        "c.add(), isinstance(c, Counter), Counter.__doc__, hasattr(c, 'start'), "
        "issubclass(type('Sub', (Counter,), {}), Counter)"
    )
    assert shown.result == "(4, True, 'Counts.', False, True)"


def test_calls_change_one_object(counter: Kernel) -> None:
    counter.ok("h = Counter.start(5)")
    assert counter.ok("h.add().result(), h.add(k=10).result(), h.later().result()").result == "(6, 16, 16)"
    assert counter.ok("await h.add()").result == "17"


def test_futures_are_arguments_in_both_directions(counter: Kernel) -> None:
    counter.ok("h = Counter.start()")
    assert counter.ok("h.add(h.add(h.add())).result()").result == "4"
    assert counter.ok("cm.submit(lambda a: a * 10, h.add(0)).result()").result == "40"
    assert counter.ok("h.add(cm.submit(lambda: 6)).result()").result == "10"


def test_calls_queue_behind_one_that_waits_for_a_future(counter: Kernel) -> None:
    counter.ok("h = Counter.start()\nimport time")
    code = "slow = cm.submit(lambda: time.sleep(0.3) or 5)\n[f.result() for f in (h.add(slow), h.add(1))]"
    assert counter.ok(code).result == "[5, 6]"


def test_several_are_waited_for(counter: Kernel) -> None:
    counter.ok("h = Counter.start()")
    assert counter.ok("sorted(f.result() for f in cm.as_completed([h.add() for _ in range(5)]))").result == (
        "[1, 2, 3, 4, 5]"
    )
    assert counter.ok("len(cm.wait([h.add(), cm.submit(abs, -1)]).done)").result == "2"


def test_an_exception_is_the_callers_and_the_actor_lives_on(counter: Kernel) -> None:
    counter.ok("h = Counter.start(2)")
    shown = counter.run("h.fail().result()")
    assert shown.error == "ValueError: ('no', 2)"
    assert "raise ValueError" in plain(shown.traceback)
    assert " actor" in plain(shown.traceback)
    assert counter.ok("h.add().result()").result == "3"


def test_what_is_printed_as_it_is_made_appears_where_it_was_started(counter: Kernel) -> None:
    counter.ok("@cm.actor\nclass Loud:\n    def __init__(self): print('loading')\n    def noop(self): ...")
    assert "loading" in counter.ok("Loud.start().noop().result()").stdout


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_the_line_of_a_call_tells_how_far_it_is(counter: Kernel) -> None:
    counter.ok(
        "import time\n@cm.actor\nclass Slow:\n    def go(self):\n"
        "        for _ in cm.track(range(25), label='epoch'):\n            time.sleep(0.1)"
    )
    shown = counter.ok("Slow.start().go().result()")
    assert shown.stderr == ""
    assert "% epoch" in str(shown.of("display_data", "update_display_data"))


def test_bad_input_says_what_is_near(counter: Kernel) -> None:
    counter.ok("h = Counter.start()")
    assert "has no method 'ad'; did you mean add?" in counter.run("h.ad(1)").error
    assert "no option 'restart'; did you mean restarts?" in counter.run("Counter.start(restart=3)").error
    assert "no option 'gpu'; did you mean gpus?" in counter.run("cm.actor(gpu=1)").error
    assert "restarts=-1" in counter.run("Counter.options(restarts=-1)").error
    assert "multiple values" in counter.run("Counter.start(1, n=2)").error
    assert "takes options alone" in counter.run("cm.method(lambda self: 1)").error
    assert "replay=True and threads=2" in counter.run("cm.actor(replay=True, threads=2)").error
    assert "no order" in counter.run("Counter.options(replay=True).start(threads=2)").error
    assert "detached=True needs a name" in counter.run("Counter.options(detached=True).start()").error
    assert "max_size=0" in counter.run("cm.batch(max_size=0)").error
    assert "@cm.actor is for classes" in counter.run("cm.actor(print)").error
    assert "argument 1 of `Counter.add`" in counter.run("h.add(open('/dev/null'))").error
    assert "cannot be pickled" in counter.run("h.lock().result()").error
    assert counter.ok("h.add().result()").result == "1"


def test_a_named_one_is_found_and_started_once(counter: Kernel) -> None:
    counter.ok("h = Counter.start(1, name='c')\nh.add()")
    counter.ok(COUNTER)  # the cell again: another class object, the same class
    assert counter.ok("Counter.start(1, name='c').add().result()").result == "3"
    assert counter.ok("cm.get_actor('c').add().result()").result == "4"
    error = counter.run("Counter.start(2, name='c')").error
    assert "reload" in error
    assert "replace=True" in error
    assert counter.ok("Counter.start(2, name='c', replace=True).add().result()").result == "3"


def test_a_cell_that_starts_one_can_run_again_whatever_else_the_notebook_has(counter: Kernel) -> None:
    trainer = """
    import threading
    import cellmesh as cm

    @cm.actor(name="trainer")
    class Trainer:
        def __init__(self):
            self.model, self.lock, self.seen = [], threading.Lock(), 0

        def step(self):
            self.seen += 1
            return self.seen, len(log)

    log = []
    lock = threading.Lock()
    seen = open("/dev/null")
    model = Trainer.start()
    """
    counter.ok(trainer)
    assert counter.ok("model.step().result()").result == "(1, 0)"
    counter.ok(trainer)  # now there is a notebook's `model`, `lock` and `seen`, too
    assert counter.ok("model.step().result()").result == "(2, 0)"
    counter.ok("WIDTH = 3")
    wide = "@cm.actor(name='wide')\nclass Wide:\n    def width(self): return WIDTH\nw = Wide.start()"
    counter.ok(wide)
    counter.ok(wide)
    counter.ok("WIDTH = 4")
    assert "reload" in counter.run(wide).error


def test_another_source_is_another_class(counter: Kernel) -> None:
    counter.ok("h = Counter.start(name='c')")
    counter.ok(COUNTER.replace("self.n += k", "self.n += 2 * k"))
    assert "reload" in counter.run("Counter.start(name='c')").error


def test_the_list_shows_itself_as_a_table(counter: Kernel) -> None:
    counter.ok("h = Counter.start(name='c')\nh.add().result()")
    shown = counter.ok("cm.actors()").result
    assert shown.splitlines()[0].startswith("name")
    assert "Counter" in shown
    assert "1 done" in shown
    assert counter.ok("[a.add().result() for a in cm.actors()]").result == "[2]"


def test_one_that_is_stopped_says_so(counter: Kernel) -> None:
    counter.ok("h = Counter.start(name='c')\nh.add().result()\nh.stop()")
    assert counter.run("h.add().result()").error.startswith('ActorDied: The actor "c" was stopped')
    assert '"c"' in counter.run("cm.get_actor('c')").error
    assert counter.ok("cm.actors()").result.startswith("No actors")


def test_one_that_nothing_refers_to_ends(counter: Kernel) -> None:
    assert counter.ok("Counter.start(4).add().result()").result == "5"
    assert counter.ok("cm.actors()").result.startswith("No actors")


def test_what_a_call_prints_is_in_its_cell(counter: Kernel) -> None:
    counter.ok("@cm.actor\nclass Loud:\n    def say(self, what):\n        print('it says', what)")
    counter.ok("h = Loud.start()")
    assert "it says hello" in counter.ok("h.say('hello').result()").stdout


def test_a_failed_constructor_is_what_calls_raise(counter: Kernel) -> None:
    counter.ok("@cm.actor\nclass Bad:\n    def __init__(self):\n        1 / 0\n    def f(self): ...")
    shown = counter.run("h = Bad.start()\nwhile 'ended' not in repr(h): pass")
    assert "Bad was not started: ZeroDivisionError: division by zero" in shown.stderr
    shown = counter.run("h.f().result()")
    assert shown.error.startswith("ZeroDivisionError")
    assert "1 / 0" in plain(shown.traceback)


def test_a_method_is_mapped(counter: Kernel) -> None:
    counter.ok("h = Counter.start()")
    assert counter.ok("h.add.map([1, 2, 3]).result(), list(h.add.map(iter([1, 1])))").result == (
        "([1, 3, 6], [7, 8])"
    )
    assert counter.ok("sorted(h.add.map([0] * 3).as_completed()), h.add.map([0])[0]").result == (
        "([(0, 8), (1, 8), (2, 8)], 8)"
    )
    assert counter.ok("await h.add.map([0, 0])").result == "[8, 8]"
    shown = counter.run("h.add.map([1, 'x', 2]).result()")
    assert shown.error.startswith("TypeError")
    assert "1 of 3 items failed" in plain(shown.traceback)
    assert "is not iterable" in counter.run("h.add.map(3)").error


def test_what_maps_return_is_waited_for_with_the_rest(counter: Kernel) -> None:
    counter.ok("h = Counter.start()\nf = cm.submit(abs, -1)\nys, zs = h.add.map([1] * 20), h.fail.map(['x'])")
    assert counter.ok(
        "done, rest = cm.wait([ys, f, zs])\nlen(done), len(rest), ys.failed(), zs.failed()"
    ).result == ("(3, 0, False, True)")
    assert counter.ok("cm.wait([ys, zs], return_when='FIRST_EXCEPTION').not_done").result == "set()"
    assert counter.ok("ys in list(cm.as_completed([ys, f])), sum(ys)").result == "(True, 210)"
    assert (
        counter.ok("xs = h.add.map([1] * 5)\n[one.done() for one in cm.as_completed(xs)]").result == "[True]"
    )


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_a_start_that_raises_leaves_no_memory(counter: Kernel) -> None:
    counter.ok("""
import os
from cellmesh.kernel import attaching
from cellmesh.scheduler.objects.segments import FREE
from cellmesh.scheduler.wire import system
h = Counter.start()
engine = attaching.current().engine
def taken():
    names = os.listdir(system.shared_memory_folder())
    return [name for name in names if name.startswith(engine.object_prefix()) and not name.endswith(FREE)]
before = taken()
engine._gone = True  # as when the hub has ended
""")
    assert "has ended" in counter.run("Counter.start(b'x' * 10_000_000)").error
    assert counter.ok("engine._gone = False\ntaken() == before, h.add().result()").result == "(True, 1)"


def test_what_can_never_be_had_is_refused_at_once(counter: Kernel) -> None:
    assert "GPU" in counter.run("Counter.start(gpus=99)").error
    assert counter.ok("cm.actors()").result.startswith("No actors")


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_concurrent_calls_become_one(counter: Kernel) -> None:
    counter.ok(
        "@cm.actor\nclass Batched:\n"
        "    def __init__(self): self.sizes = []\n"
        "    @cm.batch(max_size=8, max_wait_ms=200)\n"
        "    def double(self, xs):\n        self.sizes.append(len(xs))\n        return [2 * x for x in xs]\n"
        "    def seen(self): return self.sizes\n"
        "b = Batched.start()\nb.seen().result()"
    )
    assert counter.ok("b.double.map(range(16)).result() == [2 * x for x in range(16)]").result == "True"
    assert counter.ok("b.seen().result()").result == "[8, 8]"


LARGE = """
import glob
from IPython.display import HTML, display
import cellmesh.kernel.attaching as a

@cm.actor
class Large:
    def fail(self):
        raise ValueError("large " * 500_000)
    def show(self):
        display(HTML("shown " * 500_000))

h = Large.start()
"""


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_a_large_error_comes_whole_however_late_it_is_asked_for(counter: Kernel) -> None:
    counter.ok(LARGE)
    counter.ok("f = h.fail()\ncm.wait(f)\nh.show().result()")
    assert counter.ok("type(f.exception()) is ValueError and 'large' in str(f.exception())").result == "True"


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_what_was_displayed_holds_no_memory_of_the_actor(counter: Kernel) -> None:
    counter.ok(LARGE)
    counter.ok(
        "def held():\n    hub = '-'.join(a.current().engine.object_prefix().split('-')[:3])\n"
        "    return len(glob.glob(f'/dev/shm/{hub}*'))\nh.show().result()\nbefore = held()"
    )
    for _ in range(4):
        assert "shown" in str(counter.ok("h.show().result()").messages)
    assert counter.ok("held() - before").result == "0"
