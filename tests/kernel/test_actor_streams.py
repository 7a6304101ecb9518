"""Generator methods of actors, and Stop of what a cell called."""

from __future__ import annotations

import pytest

from .conftest import Kernel

SOURCE = """
import cellmesh as cm, time

@cm.actor
class Source:
    def __init__(self):
        self.given = 0
        self.closed = 0
        self.slept = 0
    def count(self, n, fail=False):
        try:
            for i in range(n):
                self.given = i + 1
                yield i
            if fail:
                raise ValueError("at the end")
        finally:
            self.closed += 1
    async def letters(self, text):
        for letter in text:
            yield letter
    def seen(self):
        return self.given, self.closed
    def sleep(self, seconds):
        time.sleep(seconds)
        self.slept += 1
        return self.slept
h = Source.start()
"""


@pytest.fixture
def source(kernel: Kernel) -> Kernel:
    kernel.ok(SOURCE)
    return kernel


def test_items_come_in_order(source: Kernel) -> None:
    assert source.ok("list(h.count(5))").result == "[0, 1, 2, 3, 4]"
    assert source.ok("sum(h.count(20_000)), list(h.count(0)), ''.join(h.letters('abc'))").result == (
        "(199990000, [], 'abc')"
    )
    assert source.ok("[x async for x in h.count(3)], [x async for x in h.letters('xy')]").result == (
        "([0, 1, 2], ['x', 'y'])"
    )


def test_what_it_raises_comes_after_its_items(source: Kernel) -> None:
    shown = source.run("for x in h.count(2, fail=True):\n    print(x)")
    assert shown.stdout == "0\n1\n"
    assert shown.error == "ValueError: at the end"


def test_it_goes_only_so_far_ahead(source: Kernel) -> None:
    source.ok("s = h.count(10**9)\nassert [next(s) for _ in range(3)] == [0, 1, 2]")
    given, _ = eval(source.ok("h.seen().result()").result)  # also: other calls are served meanwhile
    assert given < 5000
    source.ok("del s")


def test_leaving_the_loop_ends_the_generator(source: Kernel) -> None:
    source.ok("for x in h.count(10**9):\n    if x == 100:\n        break\ndel x")
    code = "while not h.seen().result()[1]: time.sleep(0.01)\nh.seen().result()[1]"
    assert source.ok(code).result == "1"


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_stop_cancels_what_the_cell_called(source: Kernel) -> None:
    shown = source.start("print('on')\nh.sleep(600).result()")
    source.wait_until(lambda: "on" in shown.stdout)
    source.interrupt()
    source.finish(shown)
    assert shown.error.startswith("KeyboardInterrupt")
    assert source.ok("h.sleep(0).result()", timeout=20).result == "1"  # the state is as it was


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_stop_leaves_calls_of_other_cells(source: Kernel) -> None:
    source.ok("f = h.sleep(600)")
    shown = source.start("print('on')\nf.result()")
    source.wait_until(lambda: "on" in shown.stdout)
    source.interrupt()
    source.finish(shown)
    assert shown.error.startswith("KeyboardInterrupt")
    assert "goes on" in shown.stderr
    assert source.ok("f.done(), f.cancel()").result == "(False, True)"


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_a_call_is_cancelled(source: Kernel) -> None:
    source.ok("a = h.sleep(600); b = h.sleep(600)")
    assert source.ok("b.cancel(), a.cancel(), h.sleep(0).result()").result == "(True, True, 1)"
    assert source.run("a.result()").error.startswith("CancelledError")


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_a_wait_ends_at_its_timeout(source: Kernel) -> None:
    error = source.run("f = h.sleep(5)\nf.result(timeout=0.2)").error
    assert error.startswith("TimeoutError: Source.sleep: no answer within 0.2 s")
    source.ok("f.cancel()")


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_stop_cancels_what_is_awaited(source: Kernel) -> None:
    shown = source.start("print('on')\nawait h.sleep(600)")
    source.wait_until(lambda: "on" in shown.stdout)
    source.interrupt()
    source.finish(shown)
    assert shown.error.startswith("KeyboardInterrupt")
    assert source.ok("await h.sleep(0)", timeout=20).result == "1"


@pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)
def test_stop_ends_a_stream_and_a_map(source: Kernel) -> None:
    for code in ("for x in h.count(10**9): pass", "h.sleep.map([0.05] * 10_000).result()"):
        shown = source.start(f"print('on')\n{code}")
        source.wait_until(lambda shown=shown: "on" in shown.stdout)
        source.interrupt()
        source.finish(shown)
        assert shown.error.startswith("KeyboardInterrupt")
        assert int(source.ok("h.sleep(0).result()", timeout=20).result) < 100


def test_arrays_go_both_ways_and_leave_nothing(source: Kernel) -> None:
    source.ok(
        "import numpy as np\n"
        "@cm.actor\nclass Echo:\n    def add(self, x): return x + 1\n"
        "    def rows(self, n):\n        for i in range(n): yield np.full(200_000, i)\n"
        "e = Echo.start()\nx = np.zeros(200_000)"
    )
    assert source.ok("for _ in range(20): x = e.add(x).result()\nx[-1]").result == "np.float64(20.0)"
    assert source.ok("float(sum(row[0] for row in e.rows(20)))").result == "190.0"
    assert source.ok("f = e.add(cm.put(x))\ncm.wait(f)\ne.stop()\nf.result()[0]").result == (
        "np.float64(21.0)"
    )
