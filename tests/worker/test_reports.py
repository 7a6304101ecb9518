"""Items are reported once, soon, and after the output that came before them.

A plain value joins the run before it, and a run is reported as one.
"""

from __future__ import annotations

from worker.running import in_worker

_MAP = """
import builtins, collections
happened = []
runner.output._emit = lambda output: happened.append(("text", output.text))
reported = builtins.reported = threading.Condition()
builtins.seen = seen = set()

def report(report):
    with reported:
        happened.extend(("item", index) for index in indices(report))
        seen.update(indices(report))
        happened.append(("end", report.outcome)) if report.outcome else None
        reported.notify_all()

runner._reporter._report = report

def map_over(function, size, attempt=1):
    payload = codec.dumps([(i,) for i in range(size)])
    blobs = {"f": codec.dumps(function)}
    runner.run(Run(attempt, attempt, TaskWire(0, "map", payload, ["f"], size), ""), blobs)
"""


def _mapped(script: str) -> list[object]:
    return in_worker(_MAP + script)


def test_an_item_is_reported_while_the_next_one_runs() -> None:
    said = _mapped("""
def f(i):
    import builtins
    if i == 5:  # the first was reported at once, the others are held
        with builtins.reported:
            assert builtins.reported.wait_for(lambda: builtins.seen >= {0, 1, 2, 3, 4}, 30)
    print("ran", i)

map_over(f, 7)
say([h for h in happened if h[0] == "item"] == [("item", i) for i in range(7)])
say(all(happened.index(("text", f"ran {i}\\n")) < happened.index(("item", i)) for i in range(7)))
say(happened[-1])
""")
    assert said == [True, True, ["end", "ok"]]


def test_an_item_that_is_held_is_reported_in_a_later_task_too() -> None:
    said = _mapped("""
def f(i):
    import builtins
    if i == 2:
        with builtins.reported:
            assert builtins.reported.wait_for(lambda: builtins.seen >= {0, 1}, 30)

for attempt in range(1, 6):
    seen.clear()
    map_over(f, 4, attempt)
say(happened == [*(("item", i) for i in range(4)), ("end", "ok")] * 5)
""")
    assert said == [True]


def test_interrupts_and_the_reporting_thread_never_lose_or_double_an_item() -> None:
    said = _mapped("""
def f(i):
    import time
    time.sleep(0.003)  # so that the other thread reports as well

over, current, bad, ends = threading.Event(), [0], [], collections.Counter()
def storm():
    while not over.wait(0.01):
        if current[0] % 2:
            interrupts.request(current[0])
threading.Thread(target=storm, daemon=True).start()
for attempt in range(1, 60):
    happened.clear()
    current[0] = attempt
    map_over(f, 20, attempt)
    items = [index for what, index in happened if what == "item"]
    outcome = happened[-1][1]
    ends[outcome] += 1
    if items != list(range(len(items))) or (outcome == "ok" and len(items) != 20):
        bad.append(happened[:])
over.set()
say([bad, sorted(ends)])
""")
    assert said == [[[], ["interrupted", "ok"]]]
