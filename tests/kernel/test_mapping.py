"""Maps, in a real kernel; chunk sizes and seeds as pure functions."""

from cellmesh.kernel.chunking import Planner, seed_of

from .conftest import Kernel

LOAD = "import cellmesh as cm"


def test_results_are_ordered_indexed_and_sized(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("r = cm.map(lambda x: x * x, range(50))")
    assert kernel.ok("len(r), r[3], r[-1], r[1:4], list(r) == [x * x for x in range(50)]").result == (
        "(50, 9, 2401, [1, 4, 9], True)"
    )
    assert kernel.ok("r.result() == list(r), r.progress(), r.done()").result == "(True, (50, 50), True)"
    assert kernel.run("r[50]").error.startswith("IndexError")


def test_several_iterables_end_with_the_shortest(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("cm.map(pow, [2, 3, 4], (3, 2)).result()").result == "[8, 9]"
    assert kernel.ok("cm.map(abs, []).result()").result == "[]"


def test_an_iterable_without_a_length_is_taken_lazily(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("cm.map(abs, (-x for x in range(30))).result() == list(range(30))").result == "True"
    kernel.ok("def broken():\n    yield 1\n    yield 2\n    raise OSError('disk')")
    code = (
        "r = cm.map(abs, broken()); got = []\n"
        "try:\n    for y in r: got.append(y)\n"
        "except OSError as e: print(got, e)"
    )
    assert kernel.ok(code).stdout == "[1, 2] disk\n"


def test_one_failure_does_not_lose_the_others(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def f(x):\n    if x in (3, 5): raise ValueError(f'bad {x}')\n    return x")
    kernel.ok("r = cm.map(f, range(8)); seen = []")
    shown = kernel.run("r.result()")
    assert shown.error == "ValueError: bad 3"
    code = (
        "try:\n    r.result()\nexcept ValueError as e:\n"
        "    print([x for x in e.results if isinstance(x, int)], e.__notes__[-1])"
    )
    assert kernel.ok(code).stdout == (
        "[0, 1, 2, 4, 6, 7] 2 of 8 items failed; the exception's .results has the others' results.\n"
    )
    assert kernel.run("for y in r: seen.append(y)").error == "ValueError: bad 3"
    assert kernel.ok("seen, r[4]").result == "([0, 1, 2], 4)"


def test_stop_on_error_cancels_the_rest(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def f(x):\n    ran.append(x)\n    if x == 3: raise ValueError('bad')\nran = []")
    assert kernel.run("cm.map(f, range(100), stop_on_error=True).result()").error == "ValueError: bad"


def test_keyword_arguments_and_reserved_names(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def f(x, scale=1, timeout=0): return x * scale + timeout")
    assert kernel.ok("cm.map(f, [1, 2], scale=10, kwargs={'timeout': 5}).result()").result == "[15, 25]"
    assert "goes in by name" in kernel.run("cm.map(f, 5)").error


def test_results_can_be_awaited_and_iterated_asynchronously(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("await cm.map(abs, [-1, -2])").result == "[1, 2]"
    assert kernel.ok("[y async for y in cm.map(abs, [-3, 4])]").result == "[3, 4]"


def test_seeds_make_randomness_repeatable(kernel: Kernel) -> None:
    kernel.ok(LOAD + ", random")
    kernel.ok("a = cm.map(lambda _: random.random(), range(5), seed=1).result()")
    kernel.ok("b = cm.map(lambda _: random.random(), range(5), seed=1).result()")
    assert kernel.ok("a == b, len(set(a))").result == "(True, 5)"


def test_seeds_fit_numpy_and_differ() -> None:
    seeds = {seed_of(0, index) for index in range(1000)}
    assert len(seeds) == 1000
    assert max(seeds) < 2**32


def test_tiny_items_are_gathered_and_the_tail_shrinks() -> None:
    planner = Planner(slots=2)
    planner.measured(items=8, seconds=0.0004)
    sizes = planner.all(100_000)
    assert sum(sizes) == 100_000
    assert len(sizes) < 4000
    assert max(sizes) > 100
    assert sizes[-1] < max(sizes)


def test_what_nobody_knows_is_cut_into_few_tasks_where_these_are_dear() -> None:
    assert len(Planner(slots=2).all(10_000)) == 5000
    assert len(Planner(slots=2, most=500).all(10_000)) == 500
    assert len(Planner(slots=1000, most=500).all(10_000)) == 10_000, "but each slot has its turns"


def test_slow_items_stay_single() -> None:
    planner = Planner(slots=2)
    planner.measured(items=2, seconds=1.0)
    assert planner.all(10) == [1] * 10


def test_a_planner_outgrows_nothing_however_many_maps_it_sees() -> None:
    planner = Planner(slots=2)
    for _ in range(2000):
        planner.measured(items=4, seconds=0.8)
        assert planner.all(500) == [1] * 500
    for _ in range(2000):
        planner.measured(items=500, seconds=0.0005)
        sizes = planner.all(500)
        assert sum(sizes) == 500
        assert min(sizes) >= 1
        assert planner.next(None) <= planner.target / 1e-6 + 1
    assert len(planner.all(500)) < 50


def test_large_results_are_let_go_only_when_all_are_loaded(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "import time\n"
        "def rebuilt(data):\n    time.sleep(0.05)\n    return len(data)\n"
        "class Large:\n    def __reduce__(self): return rebuilt, (b'x' * 100_000,)"
    )
    assert kernel.ok("cm.map(lambda _: Large(), range(20)).result() == [100_000] * 20").result == "True"
