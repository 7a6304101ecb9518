"""Calls and maps, on every engine."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy
import pytest
from conformance.recording import Desk

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Ref, TaskWire

pytestmark = pytest.mark.promise("calls")


def test_a_call_returns_its_value(desk: Desk) -> None:
    job = desk.call(lambda a, b: a + b, 2, 3)
    assert desk.told.states(job) == {0: "done"}
    assert desk.value(job) == 5


def test_a_call_takes_keywords(desk: Desk) -> None:
    task = TaskWire(0, "call", codec.dumps(((1,), {"b": 5})), [desk.blob(lambda a, b=2: (a, b))])
    job = desk.launch("submit", [task])
    desk.told.wait_settled(job, 1)
    assert desk.value(job) == (1, 5)


def test_a_coroutine_function_is_awaited(desk: Desk) -> None:
    async def answer() -> int:
        import asyncio

        await asyncio.sleep(0)
        return 42

    assert desk.value(desk.call(answer)) == 42


def test_a_map_reports_every_item_once(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(lambda x: x * x, range(25), 10))
    assert desk.told.wait_settled(job, 3) == {0: "done", 1: "done", 2: "done"}
    values = desk.told.values(job)
    assert [values[divmod(i, 10)] for i in range(25)] == [i * i for i in range(25)]


def test_items_come_before_their_task_is_settled(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(lambda x: print(x) or x, range(20), 20))
    desk.told.wait_settled(job, 1)
    kinds = [call[0] for call in desk.told.calls if call[0] in ("items", "output", "settled")]
    assert kinds[-1] == "settled"
    assert kinds.index("output") < kinds.index("items")


def test_seeds_make_items_repeatable(desk: Desk) -> None:
    def draw(_: int) -> float:
        import random

        return random.random()

    tasks = [
        TaskWire(0, "map", codec.dumps([(0,), (1,)]), [desk.blob(draw)], 2, seeds=[7, 8]),
    ]
    job = desk.launch("map", tasks)
    desk.told.wait_settled(job, 1)
    expected = [random.Random(7).random(), random.Random(8).random()]
    assert list(desk.told.values(job).values()) == expected


def test_large_results_arrive(desk: Desk) -> None:
    job = desk.call(lambda: b"x" * 1_000_000)
    assert desk.value(job) == b"x" * 1_000_000


def test_large_arguments_arrive(desk: Desk) -> None:
    payload = codec.dumps(((b"x" * 1_000_000,), {}), desk.engine.object_prefix())
    desk.engine.keep(payload)
    job = desk.launch("submit", [TaskWire(0, "call", payload, [desk.blob(len)])])
    desk.told.wait_settled(job, 1)
    assert desk.value(job) == 1_000_000
    if isinstance(payload, Ref):
        desk.engine.drop(payload.name)


@pytest.mark.promise("references")
def test_large_results_are_references(desk: Desk) -> None:
    job = desk.call(lambda: b"x" * 1_000_000)
    assert isinstance(desk.told.raw(job)[0, 0].payload, Ref)


@pytest.mark.promise("one memory")
def test_a_large_argument_is_read_in_place(desk: Desk) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc/self/maps, to see what memory an array lies in")

    def lies_in(array: Any) -> str:
        import re

        place = array.__array_interface__["data"][0]
        with open("/proc/self/maps") as maps:
            for line in maps:
                first, last = (int(number, 16) for number in re.split("[- ]", line)[:2])
                if first <= place < last:
                    return line
        return "nowhere"

    payload = codec.dumps(((numpy.ones(200_000),), {}), desk.engine.object_prefix())
    assert isinstance(payload, Ref)
    desk.engine.keep(payload)
    job = desk.launch("submit", [TaskWire(0, "call", payload, [desk.blob(lies_in)])])
    desk.told.wait_settled(job, 1)
    assert payload.name in desk.value(job)
    desk.engine.drop(payload.name)
