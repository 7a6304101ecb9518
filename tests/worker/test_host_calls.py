"""Calls that take their time: interrupted, overlapping, streamed, gathered; and what they print."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from worker.hosting import Hosted, Line, eventually

import cellmesh as cm
from cellmesh.scheduler.wire.direct import AskFacts, CancelCall, Facts, Far

Start = Callable[..., Hosted]


class Worker:
    """What the tests call."""

    def __init__(self) -> None:
        self.n = 0
        self.sizes: list[int] = []
        self.closed = 0
        self.barrier = threading.Barrier(2)
        self.event: asyncio.Event | None = None

    def count(self) -> int:
        self.n += 1
        return self.n

    def sleep(self, seconds: float) -> str:
        print("asleep", flush=True)
        self.n += 100
        time.sleep(seconds)
        return "slept"

    def speak(self, text: str) -> None:
        print(text)
        print(text, end="")

    def shell(self, text: str) -> None:
        subprocess.run(["echo", text], check=True)

    def items(self, count: int) -> Iterator[int]:
        try:
            for each in range(count):
                self.n = each
                yield each
        finally:
            self.closed += 1

    def fails_after(self, count: int) -> Iterator[int]:
        yield from range(count)
        raise KeyError("no more")

    def slowly(self) -> Iterator[str]:
        yield "first"
        yield "second"
        time.sleep(60)

    def counts(self) -> tuple[int, int]:
        return self.n, self.closed

    def meet(self) -> int:
        return self.barrier.wait(20)

    async def wait_for_it(self) -> str:
        self.event = asyncio.Event()
        print("waits")
        await self.event.wait()
        return "came"

    async def release(self) -> None:
        assert self.event is not None
        self.event.set()

    async def forever(self) -> None:
        self.n = -1
        await asyncio.sleep(60)

    async def ticks(self, count: int) -> AsyncIterator[int]:
        for each in range(count):
            yield each

    def squares(self, xs: list[int]) -> list[Any]:
        self.sizes.append(len(xs))
        return [ValueError("negative") if x < 0 else x * x for x in xs]

    squares.__cellmesh_batch__ = (4, 0.2)  # type: ignore[attr-defined]

    def wrong(self, xs: list[int]) -> list[int]:
        return xs[1:]

    def number(self, xs: list[int]) -> int:
        return 5

    number.__cellmesh_batch__ = (4, 0.01)  # type: ignore[attr-defined]
    wrong.__cellmesh_batch__ = (4, 0.01)  # type: ignore[attr-defined]

    def seen(self) -> list[int]:
        return self.sizes


class Loud:
    """Has something to say as it is made."""

    def __init__(self) -> None:
        print("loading 1 of 2")
        subprocess.run(["echo", "loading 2 of 2"], check=True)

    def again(self) -> None:
        print("called")


def test_how_far_a_call_is_goes_to_its_caller(start: Start) -> None:
    class Slow:
        def go(self) -> None:
            for _ in cm.track(range(4), label="epoch"):
                for _ in cm.track(range(2)):
                    pass

    line = Line(start(Slow).address)
    number = line.call("go")
    assert line.answer(number).state == "ok"
    assert line.said == []
    assert line.others[0] == Far(number, 0, 4, "epoch")
    assert line.others[-1] == Far(number, 4, 4, "epoch")


def test_what_is_printed_as_the_object_is_made_goes_to_the_first_caller(start: Start) -> None:
    host = start(Loud, restarts=1, checkpoint=False)
    first, other = Line(host.address, "first"), Line(host.address, "other")
    first.ask("again")
    other.ask("again")
    told = [(number, text) for number, _, text in first.said]
    assert "".join(text for number, text in told if number == 0) == "loading 1 of 2\nloading 2 of 2\n"
    assert other.said == [(1, "stdout", "called\n")]
    host.again()
    back = Line(host.address, "first")
    back.number = 1
    back.ask("again")
    assert back.said == [(2, "stdout", "called\n")]


def test_a_running_call_is_interrupted_and_the_state_stays(start: Start) -> None:
    line = Line(start(Worker).address)
    number, waiting = line.call("sleep", 60), line.call("count")
    line.until(lambda: line.said)
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"
    assert line.value(waiting) == 101


def test_others_are_heard_while_a_method_runs(start: Start) -> None:
    host = start(Worker)
    line = Line(host.address)
    number = line.call("sleep", 60)
    line.until(lambda: line.said)
    other = Line(host.address, "other")
    other.tell(AskFacts(1))
    other.until(lambda: other.others)
    facts = other.others[0]
    assert isinstance(facts, Facts)
    assert (facts.running, facts.queued, facts.done) == (1, 0, 0)
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"


def test_a_running_method_does_not_keep_an_actor_that_is_to_end(start: Start) -> None:
    host = start(Worker)
    line = Line(host.address)
    number = line.call("sleep", 60)
    line.until(lambda: line.said)
    assert host.stop() == 0
    assert line.answer(number).state == "cancelled"


def test_what_a_call_prints_comes_to_its_caller_before_the_answer(start: Start) -> None:
    host = start(Worker)
    one, other = Line(host.address, "one"), Line(host.address, "other")
    first, second = one.call("speak", "hello"), one.call("shell", "from below")
    assert [one.value(first), one.value(second), other.ask("count")] == [None, None, 1]
    assert "".join(text for _, _, text in one.said) == "hello\nhellofrom below\n"
    assert [number for number, _, _ in one.said] == [first] * (len(one.said) - 1) + [second]
    assert other.said == []


def test_a_stream_comes_as_far_as_there_is_room(start: Start) -> None:
    line = Line(start(Worker).address)
    number = line.stream("items", 10, room=3)
    line.until(lambda: len(line.items.get(number, ())) == 3)
    assert line.ask("counts") == (2, 0)  # it rests, and others have their turn
    line.more(number, 4)
    line.until(lambda: len(line.items[number]) == 7)
    assert number not in line.answers
    line.more(number, 100)
    assert line.answer(number).state == "ok"
    assert line.items[number] == list(range(10))
    assert line.ask("counts") == (9, 1)


def test_items_come_while_the_generator_makes_the_next(start: Start) -> None:
    line = Line(start(Worker).address)
    number = line.stream("slowly")
    line.until(lambda: line.items.get(number) == ["first", "second"])
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"
    assert line.ask("count") == 1


def test_a_stream_that_fails_brings_its_items_first(start: Start) -> None:
    line = Line(start(Worker).address)
    number = line.stream("fails_after", 3)
    assert line.failure(number).type_name == "KeyError"
    assert line.items[number] == [0, 1, 2]


@pytest.mark.parametrize("leave", ["cancel", "hang up"])
def test_a_stream_that_rests_is_closed_when_nobody_wants_it(start: Start, leave: str) -> None:
    host = start(Worker)
    line, other = Line(host.address), Line(host.address, "other")
    number = line.stream("items", 10, room=2)
    line.until(lambda: len(line.items.get(number, ())) == 2)
    if leave == "cancel":
        line.tell(CancelCall(number))
        assert line.answer(number).state == "cancelled"
    else:
        line.close()
    eventually(lambda: other.ask("counts") == (1, 1))


def test_coroutines_overlap_and_print_to_their_own_callers(start: Start) -> None:
    host = start(Worker)
    one, other = Line(host.address, "one"), Line(host.address, "other")
    number = one.call("wait_for_it")
    one.until(lambda: one.said)
    assert other.ask("count") == 1
    assert other.ask("release") is None
    assert one.value(number) == "came"
    assert other.said == []


def test_a_coroutine_is_cancelled(start: Start) -> None:
    line = Line(start(Worker).address)
    number = line.call("forever")
    eventually(lambda: line.ask("counts")[0] == -1)
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"


def test_async_generators_stream_within_their_room(start: Start) -> None:
    line = Line(start(Worker).address)
    number = line.stream("ticks", 50, room=7)
    line.until(lambda: len(line.items.get(number, ())) == 7)
    line.more(number, 1000)
    assert line.answer(number).state == "ok"
    assert line.items[number] == list(range(50))


def test_several_threads_run_calls_at_once_and_are_interrupted_one_by_one(start: Start) -> None:
    line = Line(start(Worker, threads=2).address)
    first, second = line.call("meet"), line.call("meet")
    assert {line.value(first), line.value(second)} == {0, 1}
    long = line.stream("items", 10**9, room=10**9)
    line.until(lambda: line.items.get(long))
    line.tell(CancelCall(long))
    assert line.answer(long).state == "cancelled"
    assert line.ask("count") > 0


def test_calls_of_a_batched_method_run_as_one(start: Start) -> None:
    host = start(Worker)
    one, other = Line(host.address, "one"), Line(host.address, "other")
    numbers = [one.call("squares", x) for x in range(3)]
    assert other.ask("squares", -5 + 8) == 9
    assert [one.value(number) for number in numbers] == [0, 1, 4]
    failed, fine = one.call("squares", -1), one.call("squares", 6)
    assert one.value(fine) == 36
    assert one.failure(failed).type_name == "ValueError"
    assert one.ask("seen")[0] > 1
    assert "returned 0 results" in one.failure(one.call("wrong", 1)).message
    assert (
        "'number' was given 1 calls and returned no list, but 5" in one.failure(one.call("number", 1)).message
    )


def test_no_call_overtakes_an_earlier_one_of_its_caller_into_a_batch(start: Start) -> None:
    line = Line(start(Worker).address)
    line.call("sleep", 0.2)
    numbers = [line.call("squares", 1), line.call("seen"), line.call("squares", 2), line.call("seen")]
    assert [line.value(number) for number in numbers] == [1, [1], 4, [1, 1]]


def test_a_thread_that_a_call_began_speaks_for_it_and_falls_silent_with_it(start: Start) -> None:
    class Chatty:
        def talk(self) -> None:
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()

        async def leave_behind(self) -> None:
            async def late() -> None:
                await asyncio.sleep(0.05)
                print("too late")
                self.printed = True

            self.task = asyncio.create_task(late())

        def has_printed(self) -> bool:
            return getattr(self, "printed", False)

    line = Line(start(Chatty).address)
    line.ask("talk")
    assert [text for _, _, text in line.said] == ["from a thread\n"]
    line.ask("leave_behind")
    eventually(lambda: line.ask("has_printed"))
    assert len(line.said) == 1
