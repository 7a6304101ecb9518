"""Futures, in a real kernel."""

from .conftest import Kernel

LOAD = "import cellmesh as cm, concurrent.futures, asyncio"


def test_a_future_is_one_of_concurrent_futures(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("fut = cm.submit(pow, 2, 10)")
    assert kernel.ok("isinstance(fut, concurrent.futures.Future), fut.result()").result == "(True, 1024)"
    assert kernel.ok("fut").result == "<cellmesh.Future pow: done, 15 bytes>"
    assert kernel.ok("[f.result() for f in concurrent.futures.as_completed([fut])]").result == "[1024]"
    assert kernel.ok("len(cm.wait([fut]).done), [f.result() for f in cm.as_completed([fut])]").result == (
        "(1, [1024])"
    )


def test_it_can_be_awaited(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("await cm.submit(pow, 2, 3)").result == "8"
    assert kernel.ok("await asyncio.gather(*[cm.submit(pow, 2, n) for n in range(3)])").result == "[1, 2, 4]"


def test_it_raises_what_the_task_raised(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("class Mine(Exception): pass\ndef bad(): raise Mine('no')\nfut = cm.submit(bad)")
    assert kernel.run("fut.result()").error == "Mine: no"
    code = (
        "try:\n    fut.result()\nexcept Mine as error:\n    print('caught', error, fut.exception() is error)"
    )
    assert kernel.ok(code).stdout == "caught no True\n"
    assert kernel.ok("fut").result == "<cellmesh.Future bad: failed, Mine>"


def test_futures_are_arguments_anywhere(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("a = cm.submit(pow, 2, 3); b = cm.put([1, 2])")
    assert kernel.ok("cm.submit(lambda x, y: (x, y), a, {'deep': [b]}).result()").result == (
        "(8, {'deep': [[1, 2]]})"
    )
    assert kernel.ok("cm.map(lambda x: x, [a, 1, b]).result()").result == "[8, 1, [1, 2]]"


def test_a_failed_argument_fails_the_call(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("bad = cm.submit(lambda: 1 / 0)")
    assert kernel.run("cm.submit(abs, bad).result()").error == "ZeroDivisionError: division by zero"


def test_an_argument_that_is_not_done_defers_the_call(kernel: Kernel) -> None:
    """A Future of ours that nothing has settled yet stands for one that still runs."""
    kernel.ok(LOAD)
    kernel.ok(
        "from cellmesh.kernel import attaching\n"
        "from cellmesh.scheduler.objects import codec\n"
        "from cellmesh.scheduler.wire.messages import Item\n"
        "late = cm.Future(attaching.current(), 'late')\n"
        "data = [1]\n"
        "sums = cm.submit(lambda x, more: x + sum(more), late, data)\n"
        "mapped = cm.map(abs, [late, -2])\n"
        "data.append(100)"
    )
    assert kernel.ok("sums, mapped.done()").result == "(<cellmesh.Future <lambda>: pending>, False)"
    kernel.ok("late.settle(Item(0, True, codec.dumps(-7)))")
    assert kernel.ok("sums.result(10), mapped.result(10)").result == "(-6, [7, 2])"


def test_put_is_finished_and_pickling_one_by_hand_is_refused(kernel: Kernel) -> None:
    kernel.ok(LOAD + ", pickle")
    assert kernel.ok("ref = cm.put({'a': 1}); ref.done(), ref.result()").result == "(True, {'a': 1})"
    assert kernel.run("pickle.dumps(ref)").error.startswith("TypeError: A cellmesh Future cannot be pickled")


def test_callbacks_and_bad_options(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("got = []; fut = cm.submit(abs, -3); fut.add_done_callback(lambda f: got.append(f.result()))")
    assert kernel.ok("fut.result(), got").result == "(3, [3])"
    assert kernel.run("cm.submit(3)").error.startswith("TypeError: 3 is not callable")
    assert kernel.run("cm.submit(abs, 1, retries=-1)").error.startswith("ValueError: retries=-1")
    assert kernel.run("cm.submit(abs, 1, gpus=1)").error.startswith("ValueError: gpus=1: this machine has")


def test_what_comes_as_it_is_cancelled_comes_too_late(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "from cellmesh.kernel import attaching\n"
        "from cellmesh.scheduler.objects import codec\n"
        "from cellmesh.scheduler.wire.messages import Item\n"
        "late = cm.Future(attaching.current(), 'late')\n"
        "late.cancel()\n"
        "late.done = lambda: False  # as another thread saw it just before\n"
        "late.give(1); late.settle(Item(0, True, codec.dumps(1))); late.fail(OSError())\n"
        "again = late.cancel(); del late.done"
    )
    assert kernel.ok("late, again").result == "(<cellmesh.Future late: cancelled>, True)"
    assert kernel.run("late.result()").error.startswith("CancelledError: late was cancelled")
