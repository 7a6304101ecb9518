"""Tasks that submit tasks, in a real kernel, on one core."""

import re
import time
from pathlib import Path

import pytest

from .conftest import Kernel

LOAD = """
import cellmesh as cm

def fib(n):
    if n < 2: return n
    a, b = cm.submit(fib, n - 1), cm.submit(fib, n - 2)
    return a.result() + b.result()

def tree(levels):
    return 1 if levels == 0 else sum(cm.map(tree, [levels - 1] * 2).result())
"""


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMESH_CPUS", "1")


def test_recursion_on_one_core(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("cm.submit(fib, 5).result()").result == "5"
    assert kernel.ok("cm.map(tree, [3, 2]).result()").result == "[8, 4]"


def test_every_verb_works_inside(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "@cm.task(retries=0)\n"
        "def double(x): return 2 * x\n"
        "def inner(given):\n"
        "    ref = cm.put([1, 2, 3])\n"
        "    total = cm.submit(sum, ref)\n"
        "    first = next(iter(cm.as_completed([cm.submit(double, 4)]))).result()\n"
        "    done, left = cm.wait([double.submit(1), double.submit(2)])\n"
        "    both = sorted(one.result() for one in done)\n"
        "    return total.result(), first, both, len(left), double.map([5]).result(), given\n"
    )
    assert kernel.ok("cm.submit(inner, cm.submit(pow, 2, 3)).result()").result == (
        "(6, 8, [2, 4], 0, [10], 8)"
    )


def test_coroutines_await_inside(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "async def inner():\n"
        "    import asyncio\n"
        "    many = await asyncio.gather(*[cm.submit(pow, 2, n) for n in range(3)])\n"
        "    return many, [y async for y in cm.map(abs, [-1, -2])]\n"
    )
    assert kernel.ok("cm.submit(inner).result()").result == "([1, 2, 4], [1, 2])"


def test_a_returned_future_is_its_result(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("cm.submit(lambda: cm.submit(fib, 3)).result()").result == "2"
    assert kernel.ok("cm.map(lambda x: cm.submit(abs, x), [-1, -2]).result()").result == "[1, 2]"
    assert (
        "Take them first, with .result()" in kernel.run("cm.submit(lambda: cm.map(abs, [1])).result()").error
    )


def test_prints_of_inner_tasks_land_in_the_launching_cell(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def talk(n):\n    print('level', n)\n    if n: cm.submit(talk, n - 1).result()")
    shown = kernel.ok("cm.submit(talk, 2).result()")
    kernel.wait_until(lambda: all(f"level {n}" in shown.stdout for n in range(3)))


def test_an_inner_exception_is_the_outer_ones_with_both_tracebacks(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "class Mine(Exception): pass\n"
        "def bad(x):\n    raise Mine(f'no {x}')\n"
        "def outer():\n    return cm.submit(bad, 3).result()\n"
    )
    shown = kernel.run("cm.submit(outer).result()")
    assert shown.error == "Mine: no 3"
    trace = re.sub(r"\x1b\[[0-9;]*m", "", shown.traceback)
    assert "raise Mine(f'no {x}')" in trace
    assert "return cm.submit(bad, 3).result()" in trace
    assert kernel.ok(
        "def careful():\n    try: cm.submit(bad, 1).result()\n    except Mine as e: return str(e)\n"
        "cm.submit(careful).result()"
    ).result == ("'no 1'")


def test_distributed_cells_submit_too(kernel: Kernel) -> None:
    kernel.ok("%load_ext cellmesh\n" + LOAD)
    shown = kernel.ok("%%distributed -n 1\ncm.submit(fib, 4).result()")
    kernel.wait_until(lambda: "3" in shown.stdout + shown.result)


def test_what_is_the_notebooks_is_refused_inside(engine_name: str, kernel: Kernel) -> None:
    kernel.ok(LOAD)
    error = kernel.run("cm.submit(lambda: cm.start(2)).result()").error
    assert engine_name == "inline" or error.startswith("RuntimeError: cm.start is for the notebook")


def test_stop_ends_parents_and_children(engine_name: str, kernel: Kernel, tmp_path: Path) -> None:
    if engine_name == "inline":
        pytest.skip("inline, Stop interrupts the notebook's own thread")
    kernel.ok(LOAD + "\nimport time\nfrom pathlib import Path")
    kernel.ok(
        "def nap(n):\n"
        "    Path(f'began{n}').touch()\n"
        "    if n: cm.submit(nap, n - 1).result()\n"
        "    else: time.sleep(600)\n"
    )
    cell = kernel.start("cm.submit(nap, 2).result()")
    for _ in range(600):
        if (tmp_path / "began0").exists():
            break
        time.sleep(0.05)
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.error.startswith("KeyboardInterrupt")
    assert kernel.ok("cm.submit(pow, 2, 3).result(20)").result == "8"  # the one core is free again


def test_a_task_submits_itself(kernel: Kernel) -> None:
    kernel.ok("import cellmesh as cm")
    kernel.ok(
        "@cm.task(retries=0)\n"
        "def fib(n):\n"
        "    return n if n < 2 else fib.submit(n - 1).result() + fib.submit(n - 2).result()\n"
        "@cm.task\n"
        "async def later(n):\n"
        "    return n if n < 2 else await later.submit(n - 1) + await later.submit(n - 2)\n"
    )
    assert kernel.ok("fib.submit(4).result(), await later.submit(4)").result == "(3, 3)"
    assert kernel.ok("cm.submit(lambda task: (task(3), repr(task)), fib).result()").result == (
        "(2, '<cellmesh task fib: retries=0>')"
    )
