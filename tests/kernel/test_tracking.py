"""`cm.track` and plain tqdm, in a real kernel: what the waiting cell shows of a task's own progress."""

from .conftest import Kernel, Shown

LOAD = "import cellmesh as cm, time, threading"


def lines(shown: Shown) -> list[str]:
    """What the cell's progress line has said."""
    return [m["content"]["data"]["text/plain"] for m in shown.of("display_data", "update_display_data")]


def words(kernel: Kernel, call: str) -> str:
    """What tasks of a call said, as the session hears it; the last word of each item among it."""
    kernel.ok(
        "from cellmesh.kernel import attaching\n"
        "session = attaching.current(); said = []; take = session.within.take\n"
        "def hear(progress): said.append((progress.item, progress.done, progress.total, progress.text)); "
        "take(progress)\n"
        "session.within.take = hear\n"
        f"{call}\n"
    )
    return kernel.ok("sorted(set(said))").result


def test_the_waiting_cell_shows_how_far_an_item_is(engine_name: str, kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "def train(x):\n    for _ in cm.track(range(20), label='epoch'): time.sleep(0.15)\n    return x\n"
    )
    if engine_name == "inline":  # it runs before anybody can wait for it
        return
    shown = kernel.ok("cm.map(train, [1]).result()")
    assert any("0/1" in line and "· item 0: " in line and "% epoch" in line for line in lines(shown))
    assert "·" not in lines(shown)[-1]


def test_the_first_and_the_last_word_are_told(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "def work(n):\n    for _ in cm.track(iter(range(n)), total=n, label='rows'): pass\n    return n"
    )
    said = words(kernel, "r = cm.submit(work, 1000).result()")
    assert "(0, 0, 1000, 'rows')" in said.replace(".0", "")
    assert "(0, 1000, 1000, 'rows')" in said.replace(".0", "")
    assert said.count("rows") < 100  # told now and then, not a thousand times


def test_the_outermost_loop_speaks(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "def work():\n"
        "    for _ in cm.track(range(2), label='outer'):\n"
        "        for _ in cm.track(range(3), label='inner'): pass\n"
    )
    said = words(kernel, "cm.submit(work).result()")
    assert "outer" in said
    assert "inner" not in said


def test_plain_tqdm_is_progress_and_no_text(engine_name: str, kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok(
        "def work(n):\n"
        "    from tqdm.auto import tqdm\n"
        "    for _ in tqdm(range(n), desc='rows'): pass\n"
        "    return n\n"
    )
    if engine_name == "inline":
        return  # in the notebook's own process tqdm is the notebook's
    said = words(kernel, "r = cm.submit(work, 50).result()")
    assert "'rows'" in said
    assert "50" in said
    shown = kernel.ok("cm.submit(work, 50).result()")
    kernel.ok("cm.submit(print, 'after').result()")
    assert "rows" not in shown.stderr + shown.stdout


def test_outside_tasks_a_line_is_shown(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    shown = kernel.ok("total = sum(cm.track(range(10), label='sums')); total")
    assert shown.result == "45"
    assert "100% sums" in shown.stderr


def test_a_distributed_cell_says_which_worker_it_is(engine_name: str, kernel: Kernel) -> None:
    if engine_name == "inline":
        return
    kernel.ok("%load_ext cellmesh\n" + LOAD)
    shown = kernel.ok(
        "%%distributed -n 2\nfor _ in cm.track(range(20), label='steps'):\n    time.sleep(0.15)"
    )
    assert any("worker 0: " in line and "worker 1: " in line and "% steps" in line for line in lines(shown))
