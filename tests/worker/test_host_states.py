"""What of an object comes back, however it pickles itself; and when it is written down."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worker.hosting import Hosted, Line, eventually
from worker.test_host_lasting import facts

from cellmesh.scheduler.wire.actors import ActorOptions, HostActor
from cellmesh.scheduler.wire.direct import Call, CancelCall
from cellmesh.scheduler.worker.host.callers import Entry
from cellmesh.scheduler.worker.host.lasting import REMEMBERED, Lasting
from cellmesh.scheduler.worker.host.living import Living

Start = Callable[..., Hosted]


class Reduced:
    """Pickles itself by its constructor."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.made_by = type(self)

    def __reduce__(self) -> Any:
        return type(self), (self.n,)

    def add(self) -> int:
        self.n += 1
        return self.n


class Counts(defaultdict):  # type: ignore[type-arg]
    def __init__(self) -> None:
        super().__init__(int)

    def add(self) -> int:
        self["n"] += 1
        return int(self["n"])


class Last(deque):  # type: ignore[type-arg]
    def __init__(self) -> None:
        super().__init__([0], maxlen=1)

    def add(self) -> int:
        self.append(self[0] + 1)
        return sum(self)


class Made:
    """Is made with arguments, which it tells."""

    def __new__(cls, n: int) -> Made:
        made = super().__new__(cls)
        made.n = n
        return made

    def __getnewargs__(self) -> tuple[int]:
        return (self.n,)

    def add(self) -> int:
        self.n += 1
        return self.n


class Secretive:
    """Is made with arguments, and does not tell them."""

    def __new__(cls, n: int) -> Secretive:
        return super().__new__(cls)

    def add(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("kind", "args"), [(Reduced, (0,)), (Counts, ()), (Last, ()), (Made, (0,))], ids=lambda each: str(each)
)
def test_what_pickles_itself_in_its_own_way_comes_back(
    start: Start, kind: type, args: tuple[Any, ...]
) -> None:
    host = start(kind, *args, restarts=9)
    line = Line(host.address)
    assert [line.ask("add"), line.ask("add")] == [1, 2]
    assert line.answer(line.send("", b"", kind="save")).state == "ok"
    host.again()
    assert not host.failed, host.failure()
    assert Line(host.address).ask("add") == 3


def test_what_could_not_be_made_again_is_not_written(start: Start) -> None:
    line = Line(start(Secretive, 1, restarts=9).address)
    assert "without arguments" in line.failure(line.send("", b"", kind="save")).message
    assert line.ask("add") == 1


class Busy:
    """Has its hands full."""

    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n

    def count(self) -> Iterator[int]:
        while True:
            self.n += 1
            yield self.n

    async def block(self) -> None:
        print("blocks", flush=True)
        time.sleep(0.5)  # noqa: ASYNC251 - it blocks the loop, as code of users does

    async def spin(self) -> None:
        print("spins", flush=True)
        while True:
            pass

    async def nothing(self) -> None: ...

    async def endless(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise KeyError("not closed")

    async def wait(self) -> None:
        await asyncio.sleep(60)


def test_an_actor_that_is_never_quiet_is_checkpointed(start: Start) -> None:
    host = start(Busy, restarts=9)
    line = Line(host.address)
    end = time.monotonic() + 30
    while not facts(line).checkpoint:
        assert time.monotonic() < end
        before = line.ask("add")
    host.again()
    assert Line(host.address).ask("add") > 1
    assert before > 100


def test_a_stream_that_nobody_reads_on_keeps_no_checkpoint_away(start: Start) -> None:
    host = start(Busy, restarts=9)
    line = Line(host.address)
    stream = line.stream("count", room=3)
    line.until(lambda: len(line.items.get(stream, ())) == 3)
    assert line.ask("add") == 4
    eventually(lambda: facts(line).checkpoint)
    host.again()
    assert Line(host.address, "other").ask("add") == 5


def test_a_coroutine_that_is_cancelled_before_it_begins_is_answered(start: Start) -> None:
    line = Line(start(Busy, restarts=9).address)
    blocks = line.call("block")
    line.until(lambda: line.said)
    number = line.call("nothing")
    assert line.ask("add") == 1  # the main thread has begun it by now
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"
    assert line.answer(blocks).state == "ok"
    assert facts(line).running == 0


def test_a_coroutine_that_never_awaits_is_stopped_and_the_others_go_on(start: Start) -> None:
    line = Line(start(Busy).address)
    number = line.call("spin")
    line.until(lambda: line.said)
    waits = line.call("nothing")
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"
    assert line.answer(waits).state == "ok"


class Slow:
    """Takes its time to say what is needed of it."""

    n = 0

    def __checkpoint__(self) -> int:
        print("saves", flush=True)
        time.sleep(60)
        return 0

    def __restore__(self, state: int) -> None: ...

    def add(self) -> int:
        self.n += 1
        return self.n


def test_a_checkpoint_on_demand_is_cancelled_as_a_call_is(start: Start) -> None:
    line = Line(start(Slow).address)
    number = line.send("", b"", kind="save")
    line.until(lambda: line.said)
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"
    assert line.ask("add") == 1


def test_an_async_generator_whose_clean_up_raises_is_answered(start: Start) -> None:
    line = Line(start(Busy).address)
    stream = line.stream("endless", room=2)
    line.until(lambda: line.items.get(stream))
    line.tell(CancelCall(stream))
    assert line.failure(stream).type_name == "KeyError"
    assert facts(line).running == 0


def test_the_log_goes_on_where_a_checkpoint_from_elsewhere_ends(start: Start) -> None:
    first = start(Busy, restarts=9, replay=True)
    line = Line(first.address)
    for _ in range(4):
        line.ask("add")
        assert line.answer(line.send("", b"", kind="save")).state == "ok"
    saved = (first.folder / "home" / "checkpoint").read_bytes()
    host = start(Busy, restarts=9, replay=True)
    host.kill()
    for path in (host.folder / "home").iterdir():
        path.unlink()
    (host.folder / "home" / "checkpoint").write_bytes(saved)
    host.begin()
    line = Line(host.address, "other")
    assert [line.ask("add") for _ in range(5)] == [5, 6, 7, 8, 9]
    host.again()
    assert Line(host.address, "third").ask("add") == 10


def test_a_save_whose_answer_was_lost_is_sent_again(start: Start) -> None:
    host = start(Busy, restarts=9, replay=True)
    line = Line(host.address)
    line.ask("add")
    assert line.answer(line.send("", b"", kind="save")).state == "ok"
    host.again()
    line = Line(host.address)
    assert line.met is not None
    assert line.met.done == 1  # so it does not wait for the answer of the second, which nobody has


@pytest.mark.parametrize("replay", [False, True])
def test_callers_that_went_before_they_were_answered_are_forgotten(tmp_path: Path, replay: bool) -> None:
    options = ActorOptions(restarts=1, replay=replay)
    order = HostActor(1, 1, "", "", b"", options, "", str(tmp_path))
    lasting = Lasting(order, Living(""), print, print)
    for number in range(1, REMEMBERED + 10):
        gone = lasting.caller(f"gone {number}", "")
        entry = gone.waiting[1] = Entry(gone, Call(1, "add", b""))
        assert gone.take(entry)
        lasting.forget(gone)  # it hangs up, and its call goes on
        assert gone.id in lasting.callers
        gone.answer(1, "ok", b"")
    lasting.caller("another", "")
    assert len(lasting.callers) == (REMEMBERED + 1 if replay else 1)
