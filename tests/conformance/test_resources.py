"""What tasks ask for, kept by real workers: cores, memory, priorities, times."""

from __future__ import annotations

import os
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conformance.recording import Desk

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import TaskWire

pytestmark = pytest.mark.promise("slots")


def calls(desk: Desk, function: Any, *arguments: tuple[Any, ...], **options: Any) -> list[TaskWire]:
    """A task for each tuple of arguments."""
    blob = desk.blob(function)
    return [
        TaskWire(n, "call", codec.dumps((each, {})), [blob], **options) for n, each in enumerate(arguments)
    ]


def span(seconds: float) -> tuple[float, float]:
    import time

    begin = time.monotonic()
    time.sleep(seconds)
    return begin, time.monotonic()


def held(begun: str, go: str) -> float:
    """Say that it has begun, wait for the word to go on; when it began."""
    import time
    from pathlib import Path

    begin = time.monotonic()
    Path(begun).touch()
    while not Path(go).exists():
        time.sleep(0.005)
    return begin


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.005)


def test_tasks_of_two_cores_run_alone_on_a_pool_of_two(desk: Desk) -> None:
    narrow = desk.launch("map", calls(desk, span, *[(0.01,)] * 6))
    wide = desk.launch("map", calls(desk, span, *[(0.02,)] * 4, cpus=2))
    more = desk.launch("map", calls(desk, span, *[(0.01,)] * 6))
    for job, count in ((narrow, 6), (wide, 4), (more, 6)):
        assert set(desk.told.wait_settled(job, count).values()) == {"done"}
    spans = [[*desk.told.values(job).values()] for job in (narrow, wide, more)]
    for position, (begin, end) in enumerate(spans[1]):
        others = spans[0] + spans[2] + spans[1][:position] + spans[1][position + 1 :]
        assert all(end <= other[0] or other[1] <= begin for other in others)


@pytest.mark.promise("priorities")
def test_a_blocked_queue_is_served_by_priority(desk: Desk, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    blocker = desk.launch("submit", calls(desk, held, (str(begun), str(go)), cpus=2))
    wait_for(begun)
    jobs = {
        priority: desk.launch("submit", calls(desk, span, (0.0,), cpus=2, priority=priority))
        for priority in (0, -1, 5, 1)
    }
    go.touch()
    desk.told.wait_settled(blocker, 1)
    for job in jobs.values():
        desk.told.wait_settled(job, 1)
    begins = {priority: desk.value(job)[0] for priority, job in jobs.items()}
    assert sorted(begins, key=lambda priority: begins[priority]) == [5, 1, 0, -1]


@pytest.mark.promise("bounds")
def test_what_can_never_be_free_fails_at_once(desk: Desk) -> None:
    asked = [
        ({"cpus": 8}, r"needs 8 cores; .*\d"),
        ({"memory": 10**15}, r"needs 1000000.0 GB of memory; .*\d"),
    ]
    for options, why in asked:
        job = desk.call(abs, -1, **options)
        assert desk.told.states(job) == {0: "lost"}
        assert re.match(why, desk.told.whys(job)[0])


@pytest.mark.promise("bounds")
def test_a_part_of_several_gpus_is_refused(desk: Desk) -> None:
    job = desk.call(abs, -1, gpus=1.5)
    assert desk.told.states(job) == {0: "lost"}
    assert re.match(
        r".*a part of one GPU \(like 0.5\) or whole ones|needs 1.5 GPUs; ", desk.told.whys(job)[0]
    )


def test_promised_memory_keeps_others_waiting_until_it_is_free(desk: Desk) -> None:
    from cellmesh.scheduler.wire import system

    most = system.usable_memory() * 2 // 3
    job = desk.launch("map", calls(desk, span, *[(0.02,)] * 4, memory=most))
    assert set(desk.told.wait_settled(job, 4).values()) == {"done"}
    spans = sorted(desk.told.values(job).values())
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.promise("timeouts")
def test_a_run_that_takes_too_long_is_stopped_and_its_siblings_are_not(desk: Desk) -> None:
    tasks = calls(desk, lambda seconds: time.sleep(seconds), *[(0.01,)] * 6)
    tasks[0] = calls(desk, lambda seconds: time.sleep(seconds), (100,), timeout=0.2, retries=3)[0]
    job = desk.launch("map", tasks)
    states = desk.told.wait_settled(job, 6)
    assert states == {0: "timed out"} | dict.fromkeys(range(1, 6), "done")
    assert desk.told.whys(job)[0] == "timed out after 0.2 s"


@pytest.mark.promise("stubborn code")
def test_the_slots_of_a_run_that_took_too_long_are_free_again(desk: Desk) -> None:
    job = desk.call(time.sleep, 100, timeout=0.2, cpus=2)
    assert desk.told.states(job) == {0: "timed out"}
    assert desk.value(desk.call(os.getpid, cpus=2)) > 0


@pytest.mark.promise("stubborn code")
def test_a_run_out_of_time_that_does_not_yield_loses_its_worker(desk: Desk) -> None:
    def stubborn() -> None:
        import time

        while True:
            try:
                time.sleep(100)
            except KeyboardInterrupt:
                pass

    job = desk.call(stubborn, timeout=0.1, cpus=2)
    assert desk.told.states(job) == {0: "timed out"}
    assert desk.value(desk.call(abs, -1, cpus=2)) == 1
