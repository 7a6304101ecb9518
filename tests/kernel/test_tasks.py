"""`@cm.task`, and the options of calls, in a real kernel."""

import pytest

from .conftest import Kernel

LOAD = "import cellmesh as cm"


def test_a_task_is_still_its_function(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("@cm.task\ndef add(a, b=1):\n    'Adds.'\n    return a + b")
    kernel.ok("import inspect; told = str(inspect.signature(add))")
    assert kernel.ok("add(1), add.__doc__, add.__name__, told").result == "(2, 'Adds.', 'add', '(a, b=1)')"
    assert kernel.ok("add.submit(2).result(), add.submit(2, b=5).result()").result == "(3, 7)"
    assert kernel.ok("add.map([1, 2], b=10).result(), list(add.map([1, 2], [3, 4]))").result == (
        "([11, 12], [4, 6])"
    )
    assert kernel.ok("cm.submit(add, 4).result(), cm.map(add, [5]).result()").result == "(5, [6])"


def test_options_make_a_changed_copy(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("@cm.task(retries=0, name='adding')\ndef add(a): return a + 1\nother = add.options(retries=5)")
    assert kernel.ok("repr((add, other, add(1), other(1)))").result.strip('"') == (
        "(<cellmesh task add: retries=0, name='adding'>, <cellmesh task add: retries=5, name='adding'>, 2, 2)"
    )
    assert kernel.ok("cm.jobs()[-1].title if add.submit(1).result() else ''").result == "'adding'"
    assert kernel.ok("add.submit(1, name='once').result(), cm.jobs()[-1].title").result == "(2, 'once')"


def test_methods_and_coroutines_are_tasks_too(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "class Scale:\n"
        "    def __init__(self, by): self.by = by\n"
        "    @cm.task\n"
        "    def of(self, x): return x * self.by\n"
        "    @staticmethod\n"
        "    @cm.task\n"
        "    def double(x): return 2 * x\n"
        "@cm.task\n"
        "async def later(x):\n"
        "    import asyncio\n"
        "    await asyncio.sleep(0)\n"
        "    return -x\n"
    )
    assert kernel.ok("s = Scale(3)\ns.of(2), s.of.submit(5).result(), s.of.map([1, 2]).result()").result == (
        "(6, 15, [3, 6])"
    )
    assert kernel.ok("Scale.double.submit(4).result(), await later(1), await later.submit(2)").result == (
        "(8, -1, -2)"
    )


def test_what_is_no_function_is_refused(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert "is for functions, not for a class" in kernel.run("@cm.task\nclass A: pass").error
    assert "alone, or options alone" in kernel.run("cm.task(abs, gpus=1)").error


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("gpus=1.5", "gpus=1.5: whole GPUs (0, 1, 2, ...), or a part of one (0.5)."),
        ("cpus=0", "cpus=0: how many cores each call takes"),
        ("memory='2 parsecs'", "memory='2 parsecs': bytes, or text like"),
        ("retries=-1", "retries=-1: a number of times"),
        (
            "retry_on=KeyboardInterrupt",
            "a subclass of Exception after which a call is tried again, or a tuple of these",
        ),
        ("timeout=0", "timeout=0: a number of seconds above 0"),
        ("priority=1.5", "priority=1.5: a whole number"),
        ("name=3", "name=3: a text"),
        ("seed='a'", "seed='a': an int"),
    ],
)
def test_a_bad_option_is_told_at_once(options: str, complaint: str) -> None:
    from cellmesh.kernel import options as module

    given = eval(f"dict({options})")
    with pytest.raises(ValueError) as error:
        module.changed(module.DEFAULT, given)
    assert complaint in str(error.value)


def test_a_misspelled_option_of_a_task_is_told(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.run("@cm.task(gpu=1)\ndef f(): pass").error == (
        "TypeError: there is no option 'gpu'; did you mean gpus?"
    )


def test_exceptions_are_retried_only_with_retry_on(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "from pathlib import Path\n"
        "class Flaky(Exception): pass\n"
        "def tries(name, good=3):\n"
        "    path = Path(name)\n"
        "    path.write_text(path.read_text() + 'x' if path.exists() else 'x')\n"
        "    if len(path.read_text()) < good: raise Flaky('not yet')\n"
        "    return len(path.read_text())\n"
    )
    assert kernel.ok("cm.submit(tries, 'a', retry_on=(OSError, Flaky)).result()").result == "3"
    assert kernel.ok("cm.map(tries, ['b', 'c'], retry_on=Flaky).result()").result == "[3, 3]"
    assert kernel.run("cm.submit(tries, 'd').result()").error == "Flaky: not yet"
    assert kernel.run("cm.submit(tries, 'e', retry_on=OSError).result()").error == "Flaky: not yet"
    spent = kernel.run("cm.submit(tries, 'f', good=9, retry_on=Flaky, retries=1).result()")
    assert spent.error == "Flaky: not yet"
    assert "it was tried 2 times" in spent.traceback
    assert kernel.ok("[len(Path(n).read_text()) for n in 'def']").result == "[1, 1, 2]"


def test_a_seeded_item_has_the_same_numbers_when_it_is_tried_again(kernel: Kernel) -> None:
    kernel.ok(LOAD + ", random\nfrom pathlib import Path")
    kernel.ok(
        "def draw(name):\n"
        "    number = random.random()\n"
        "    if not Path(name).exists():\n"
        "        Path(name).touch()\n"
        "        raise OSError('first')\n"
        "    return number\n"
    )
    kernel.ok("a = cm.submit(draw, 'a', seed=1, retry_on=OSError).result()")
    assert kernel.ok("a == cm.submit(draw, 'a', seed=1).result()").result == "True"


def test_what_the_pool_can_never_do_is_told_at_once(kernel: Kernel, engine_name: str) -> None:
    kernel.ok(LOAD)
    assert "gpus=1: this machine has none" in kernel.run("cm.submit(abs, 1, gpus=1)").error
    if engine_name == "embedded":
        assert "cpus=100000: this pool has" in kernel.run("cm.map(abs, [1], cpus=100_000)").error
        assert "memory=1e+06 GB for each call: this machine has" in (
            kernel.run("cm.submit(abs, 1, memory='1000 TB')").error
        )
