"""An actor's process, called over its own socket."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worker.hosting import Hosted, Line, connected

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.direct import DIRECT, Call, CancelCall, FromHost, Greet, Refused
from cellmesh.scheduler.wire.framing import Framed


class Counter:
    """What the tests call."""

    def __init__(self, start: int = 0) -> None:
        self.n = start

    def add(self, by: int = 1) -> int:
        self.n += by
        return self.n

    def fail(self) -> None:
        self.n += 1
        raise KeyError("missing")

    def leave(self) -> None:
        raise SystemExit(3)

    def unpicklable(self) -> Any:
        self.n += 1
        return open("/dev/null")

    def sleep(self, seconds: float) -> str:
        self.n += 100
        time.sleep(seconds)
        return "slept"

    def pid(self) -> int:
        return os.getpid()


Start = Callable[..., Hosted]


def test_calls_run_in_order_and_the_state_stays(start: Start) -> None:
    line = Line(start(Counter, 5).address)
    assert line.met is not None
    assert "add" in line.met.methods
    numbers = [line.call("add") for _ in range(1000)]
    assert [line.value(number) for number in numbers] == list(range(6, 1006))
    assert line.ask("add", by=-1000) == 5


def test_callers_share_the_object_and_one_that_goes_takes_nothing_along(start: Start) -> None:
    host = start(Counter)
    one, other = Line(host.address, "one"), Line(host.address, "other")
    assert (one.ask("add"), other.ask("add")) == (1, 2)
    one.close()
    assert other.ask("add") == 3


def test_a_caller_whose_connection_was_torn_goes_on_and_nothing_runs_twice(start: Start) -> None:
    host = start(Counter)
    torn = Line(host.address, "one")
    assert torn.ask("add") == 1
    slept, added = torn.call("sleep", 0.5), torn.call("add")
    Line(host.address, "other").call("add")  # heard after what came before
    torn.close()
    again = Line(host.address, "one")
    assert again.met is not None
    assert again.met.heard in (1, 3)  # the torn connection may be read after the new one
    payload = codec.dumps(((), {}))
    for number in (1, slept, added):
        again.tell(Call(number, "add", payload, again=True))
    again.number = added
    assert again.answer(added).state == "ok"
    assert again.ask("add") == 4 + 100 * (slept in again.met.pending)
    assert 1 not in again.answers


def test_a_caller_that_has_nothing_under_way_and_comes_again_is_known(start: Start) -> None:
    host = start(Counter)
    one = Line(host.address, "one")
    assert one.ask("add") == 1
    one.close()
    again = Line(host.address, "one")
    assert again.met is not None
    assert (again.met.heard, again.met.pending) == (1, [])
    again.tell(Call(1, "add", codec.dumps(((), {}))))
    assert again.ask("add") == 2


def test_a_caller_of_another_protocol_is_told_which_one_it_is(start: Start) -> None:
    road = Framed(connected(start(Counter).address), FromHost)
    road.post(Greet(DIRECT + 1, "new", "new"))
    road.send()
    select.select([road], [], [], 30)
    assert road.receive() == [Refused(DIRECT)]
    select.select([road], [], [], 30)
    with pytest.raises(EOFError):
        road.receive()
    road.close()


def test_an_exception_is_the_callers_and_the_actor_lives_on(start: Start) -> None:
    line = Line(start(Counter).address)
    failure = line.failure(line.call("fail"))
    assert (failure.type_name, failure.worker) == ("KeyError", "actor 'llm'")
    assert [frame.name for frame in failure.frames] == ["Counter.fail"]
    assert line.failure(line.call("leave")).type_name == "ExitRefusedError"
    assert line.ask("add") == 2


def test_an_unknown_method_names_the_near_one(start: Start) -> None:
    line = Line(start(Counter).address)
    assert "Did you mean 'add'?" in line.failure(line.call("ad")).message
    assert "no method '__init__'" in line.failure(line.call("__init__")).message


def test_a_result_that_cannot_be_pickled_is_explained_and_nothing_is_undone(start: Start) -> None:
    line = Line(start(Counter).address)
    failure = line.failure(line.call("unpicklable"))
    assert "cannot be pickled" in failure.message
    assert "in the actor" in failure.message
    assert line.ask("add") == 2


def test_a_class_that_fails_to_start_says_why(start: Start) -> None:
    host = start(Counter, 1, 2, 3)
    assert host.failed
    assert host.failure().type_name == "TypeError"
    assert host.stop() == 0


def test_it_ends_when_it_is_told_to_and_takes_its_address_away(start: Start) -> None:
    host = start(Counter)
    line = Line(host.address)
    assert line.ask("pid") == host.process.pid
    assert host.stop() == 0
    assert not Path(host.address).exists()
    with pytest.raises(EOFError):
        line.until(lambda: False)


def test_a_call_that_waits_is_cancelled_at_once(start: Start) -> None:
    line = Line(start(Counter).address)
    first, second = line.call("sleep", 60), line.call("add")
    for number in (second, first):
        line.tell(CancelCall(number))
        assert line.answer(number).state == "cancelled"
    assert line.ask("add") == 101


def test_a_caller_may_go_and_come_again(start: Start) -> None:
    host = start(Counter, restarts=1)
    for count in range(1, 4):
        line = Line(host.address, "the same")
        assert line.ask("add") == count
        line.close()
