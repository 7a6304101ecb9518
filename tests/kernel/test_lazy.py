"""Maps over iterables without a length, and results as they complete, in a real kernel."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import leftovers

from .conftest import Kernel

LOAD = "import cellmesh as cm, itertools, asyncio, time"


def test_an_endless_map_is_taken_a_little_ahead_and_keeps_nothing(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "taken = itertools.count()\nr = cm.map(abs, taken)\nfirst = [y for _, y in zip(range(2000), r)]"
    )
    assert kernel.ok("first == list(range(2000))").result == "True"
    assert kernel.ok("next(iter(r))").result == "2000"  # the next loop goes on where this one stopped
    kernel.ok("[next(iter(r)) for _ in range(3000)]")
    assert kernel.ok("len(r.job.records) < 100, len(r.arrivals._stretches) < 100").result == "(True, True)"
    kernel.ok("job = r.job; del r")
    kernel.ok("for _ in range(500):\n    if job.finished: break\n    time.sleep(0.02)\ncm.jobs()")
    assert kernel.ok("job.finished, job.cancelled").result == "(True, True)"
    kernel.ok("other = cm.map(abs, itertools.count()); next(iter(other))")
    assert "are not kept" in kernel.run("other.result()").error
    assert "not known yet" in kernel.run("len(other)").error


def test_an_unread_map_pauses(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "taken = 0\n"
        "def rows():\n"
        "    global taken\n"
        "    while True:\n"
        "        taken += 1\n"
        "        yield bytes(1_000_000)\n"
        "r = cm.map(lambda row: row, rows()); first = next(iter(r)); feeder = r._lazy\n"
    )
    # It comes to rest: nothing is at work, and what has come fills the room for results that nobody takes.
    rests = "while feeder._in_flight or feeder._sizes(): time.sleep(0.01)"
    kernel.ok(rests)
    assert kernel.ok("0 < r.job.done < 1500, taken < 2000").result == "(True, True)"
    # Somebody takes some, and pauses again: what was taken is not counted any more, and what has come is.
    kernel.ok("ys = iter(r)\nfor _ in range(300): next(ys)")
    kernel.ok(rests)
    assert kernel.ok("feeder._unread.keys() == feeder.starts.keys()").result == "True"


def test_a_break_ends_what_nobody_holds(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "closed = []\n"
        "def rows():\n"
        "    try:\n"
        "        yield from itertools.count()\n"
        "    finally:\n"
        "        closed.append(True)\n"
        "for y in cm.map(abs, rows()):\n"
        "    if y == 10: break\n"
    )
    kernel.ok("for _ in range(500):\n    if cm.jobs()[-1].finished: break\n    time.sleep(0.02)")
    shown = kernel.ok("cm.jobs()[-1].finished, cm.submit(abs, -1).result()")
    assert shown.result == "(True, 1)"
    assert "not known" not in shown.stderr


def test_what_is_here_is_sent_though_the_generator_blocks(kernel: Kernel) -> None:
    kernel.ok(LOAD + ", threading\ngo = threading.Event()")
    kernel.ok("def rows():\n    yield from range(3)\n    go.wait(30)\n    yield 3\n")
    code = (
        "r = cm.map(abs, rows()); it = iter(r); got = [next(it) for _ in range(3)]; go.set(); got + list(it)"
    )
    assert kernel.ok(code).result == "[0, 1, 2, 3]"


def test_failed_items_raise_in_their_place_and_the_next_loop_goes_on(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "def f(x):\n    if x == 3: raise ValueError(x)\n    return x\nr = cm.map(f, iter(range(6))); got = []"
    )
    assert kernel.run("for y in r: got.append(y)").error == "ValueError: 3"
    assert kernel.ok("got + list(r)").result == "[0, 1, 2, 4, 5]"


def test_results_as_they_complete(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def f(x):\n    time.sleep(x)\n    return -x")
    assert kernel.ok("sorted(cm.map(f, [0.2, 0.0, 0.1]).as_completed())").result == (
        "[(0, -0.2), (1, -0.0), (2, -0.1)]"
    )
    assert kernel.ok(
        "sorted([pair async for pair in cm.map(abs, iter([-1, -2])).as_completed()])"
    ).result == ("[(0, 1), (1, 2)]")
    kernel.ok("def g(x):\n    return 1 / x\nit = cm.map(g, [1, 0, 2]).as_completed(); got = []")
    kernel.ok(
        "while True:\n"
        "    try: got.append(next(it))\n"
        "    except ZeroDivisionError: got.append('bad')\n"
        "    except StopIteration: break\n"
    )
    assert kernel.ok("sorted(got, key=str)").result == "[(0, 1.0), (2, 0.5), 'bad']"


def test_async_iterables(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("async def rows(n):\n    for i in range(n):\n        await asyncio.sleep(0)\n        yield -i")
    assert kernel.ok("[y async for y in cm.map(abs, rows(5))]").result == "[0, 1, 2, 3, 4]"
    assert kernel.ok("await cm.map(pow, rows(3), itertools.repeat(2))").result == "[0, 1, 4]"
    assert "use `async for" in kernel.run("list(cm.map(abs, rows(3)))").error.lower()
    kernel.ok("async def broken():\n    yield 1\n    raise OSError('disk')")
    assert kernel.run("await cm.map(abs, broken())").error == "OSError: disk"


def test_random_numbers_do_not_depend_on_chunks_or_order(kernel: Kernel) -> None:
    kernel.ok(LOAD + ", random, numpy")
    kernel.ok("def draw(x):\n    import numpy\n    return x, random.random(), float(numpy.random.rand())")
    kernel.ok("a = cm.map(draw, range(40), seed=7).result()")
    assert kernel.ok("a == list(cm.map(draw, iter(range(40)), seed=7))").result == "True"
    assert kernel.ok(
        "a == [y for _, y in sorted(cm.map(draw, range(40), seed=7, timeout=60).as_completed())]"
    ).result == ("True")


def test_random_numbers_do_not_depend_on_how_many_workers_there_are(engine_name: str, tmp_path: Path) -> None:
    if engine_name == "inline":
        pytest.skip("inline there is one worker")
    script = tmp_path / "draws.py"
    script.write_text(
        "import random, cellmesh as cm\n"
        "def draw(x):\n"
        "    import numpy\n"
        "    return random.random(), float(numpy.random.rand())\n"
        "print(cm.map(draw, range(30), seed=3).result())\n"
    )
    drawn = []
    for cpus in ("1", "2"):
        folder = Path(tempfile.mkdtemp(prefix="cm-", dir="/tmp"))  # a hub of its own
        try:
            drawn.append(
                subprocess.run(
                    [sys.executable, str(script)],
                    env={**os.environ, "CELLMESH_CPUS": cpus, "XDG_RUNTIME_DIR": str(folder)},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
        finally:
            leftovers.clear(folder)
    assert drawn[0] == drawn[1]


def test_wait_and_as_completed_take_everything_mixed(kernel: Kernel) -> None:
    kernel.ok(LOAD + ", concurrent.futures")
    kernel.ok("pool = concurrent.futures.ThreadPoolExecutor(1); theirs = pool.submit(pow, 2, 2)")
    kernel.ok("ours = cm.submit(pow, 2, 3); many = cm.map(abs, iter([-1, -2]))")
    assert kernel.ok(
        "done, left = cm.wait([theirs, ours, many]); len(done), len(left), len(many)"
    ).result == ("(3, 0, 2)")
    assert (
        kernel.ok(
            "{type(one).__name__ for one in cm.as_completed([theirs, ours, many])} == {'Future', 'Results'}"
        ).result
        == "True"
    )
    kernel.ok("bad = cm.submit(lambda: 1 / 0); slow = cm.submit(time.sleep, 0)")
    assert kernel.ok("bad in cm.wait([bad], return_when='FIRST_EXCEPTION').done, many.result()").result == (
        "(True, [1, 2])"
    )
    assert "not 3" in kernel.run("cm.wait([3])").error


def test_stop_ends_an_endless_map_that_pauses(kernel: Kernel) -> None:
    kernel.ok(LOAD + ", threading")
    kernel.ok("r = cm.map(abs, itertools.count()); first = next(iter(r))")
    kernel.ok(
        "r.cancel()\nfor _ in range(500):\n    if r.done() and r.job.finished: break\n    time.sleep(0.02)"
    )
    assert kernel.ok("r.job.finished, r.job.cancelled").result == "(True, True)"
    kernel.ok(
        "def ours(): return [one.name for one in threading.enumerate() if one.name in names]\n"
        "names = ('cellmesh-feeder', 'cellmesh-source')\n"
        "for _ in range(500):\n    if not ours(): break\n    time.sleep(0.02)"
    )
    assert kernel.ok("ours()").result == "[]"


def test_a_map_that_nobody_ever_held_says_why_it_ended(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("r = cm.map(abs, itertools.count()); job = r.job; del r")
    shown = kernel.ok("for _ in range(500):\n    if job.finished: break\n    time.sleep(0.02)")
    later = kernel.ok("cm.submit(abs, -1).result()")
    told = shown.stderr + later.stderr
    assert "nobody holds its results" in told
    assert "not known" not in told
    kernel.ok("r = cm.map(abs, iter(range(10)), background=True); job = r.job; del r")
    kernel.ok("for _ in range(500):\n    if job.finished: break\n    time.sleep(0.02)")
    assert kernel.ok("job.done, job.cancelled").result.endswith("False)")


def test_an_endless_map_that_stops_on_error_takes_no_more(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\ndef bad(x): return 1 / (x - 3)")
    kernel.ok("taken = itertools.count()\nr = cm.map(bad, taken, stop_on_error=True)")
    assert kernel.run("r.result()").error.startswith("ZeroDivisionError")
    kernel.ok("for _ in range(500):\n    if r.done(): break\n    time.sleep(0.02)\nfirst = next(taken)")
    assert kernel.ok("next(taken) - first, r").result.endswith(", failed>)")
