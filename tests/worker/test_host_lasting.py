"""What of an actor outlives its process (state, marks and log), and what does not (segments)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from worker.hosting import Hosted, Line, eventually

from cellmesh.scheduler.objects import codec, segments
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.direct import AskFacts, Call, CancelCall, Facts
from cellmesh.scheduler.wire.messages import Ref

Start = Callable[..., Hosted]


class Model:
    """What the tests call."""

    made = 0

    def __init__(self, size: int = 10) -> None:
        type(self).made += 1
        self.weights = np.zeros(size)
        self.me = self
        self.steps = 0

    def step(self) -> int:
        self.steps += 1
        self.weights += 1
        return self.steps

    def seen(self) -> tuple[int, float, bool, int]:
        return self.steps, float(self.weights.sum()), self.me is self, type(self).made

    def lock(self) -> None:
        self.held = threading.Lock()

    def sleep(self, seconds: float) -> None:
        print("asleep", flush=True)
        time.sleep(seconds)
        self.steps += 1000

    def count_up(self, count: int) -> Iterator[int]:
        for _ in range(count):
            self.steps += 1
            yield self.steps


class Careful:
    """Says itself what is needed of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n

    def seen(self) -> tuple[str, int]:
        return self.name, self.n

    def __checkpoint__(self) -> int:
        return self.n

    def __restore__(self, n: int) -> None:
        self.n = n


def facts(line: Line) -> Facts:
    line.others.clear()
    line.tell(AskFacts(1))
    line.until(lambda: line.others)
    found = line.others[0]
    assert isinstance(found, Facts)
    return found


def held(host: Hosted) -> list[str]:
    """Its segments that somebody may need."""
    names = [path.name for path in system.shared_memory_folder().glob(f"{host.prefix}*")]
    return [name for name in names if not segments.has_mark(name, segments.FREE)]


def checkpointed(line: Line) -> None:
    """Wait for one in the background."""
    eventually(lambda: facts(line).checkpoint)


def test_the_state_is_there_again_after_a_death(start: Start) -> None:
    host = start(Model, restarts=3)
    line = Line(host.address)
    assert [line.ask("step") for _ in range(3)] == [1, 2, 3]
    checkpointed(line)
    host.again()
    line = Line(host.address)
    assert line.ask("seen") == (3, 30.0, True, 0)
    assert line.ask("step") == 4


def test_an_actor_whose_machine_goes_away_finishes_its_call_and_leaves_its_state(start: Start) -> None:
    host = start(Model, restarts=1)
    line = Line(host.address)
    line.call("sleep", 0.3)
    line.until(lambda: line.said)
    assert host.leave() == 0
    host.begin()
    assert Line(host.address).ask("step") == 1001


def test_without_restarts_nothing_is_written_unless_asked(start: Start) -> None:
    host = start(Model)
    line = Line(host.address)
    line.ask("step")
    assert not list((host.folder / "home").iterdir())
    size = line.value(line.send("", b"", kind="save"))
    assert (host.folder / "home" / "checkpoint").stat().st_size == size
    host.again()
    assert Line(host.address).ask("step") == 2


def test_a_state_that_cannot_be_pickled_turns_checkpoints_off_with_one_line(start: Start) -> None:
    line = Line(start(Model, restarts=1).address)
    line.ask("lock")
    line.until(lambda: line.said)
    number, kind, text = line.said[0]
    assert (number, kind) == (0, "note")
    assert "Checkpoints are off: self.held, a lock, cannot be pickled" in text
    assert facts(line).note == text
    assert "lock" in line.failure(line.send("", b"", kind="save")).message
    assert line.ask("step") == 1


def test_a_class_says_itself_what_is_needed_of_it(start: Start) -> None:
    host = start(Careful, "x", restarts=1)
    line = Line(host.address)
    line.ask("add")
    checkpointed(line)
    host.again()
    assert Line(host.address).ask("seen") == ("x", 1)


def test_the_next_life_knows_which_calls_had_begun(start: Start) -> None:
    host = start(Model, restarts=1)
    line = Line(host.address, "one")
    line.ask("step")
    line.call("sleep", 60)
    line.call("step")
    line.until(lambda: line.said)
    host.again()
    line, other = Line(host.address, "one"), Line(host.address, "other")
    assert line.met is not None
    assert line.met.begun == [2]
    assert other.met is not None
    assert other.met.begun == []


def test_replayed_calls_run_once_whenever_the_process_dies(start: Start) -> None:
    host = start(Model, 1, restarts=99, replay=True)
    lines: dict[str, Line] = {}
    wanted, seed = 10_000, random.randrange(1 << 30)
    chance = random.Random(seed)
    sent = {"one": 0, "other": 0}
    known: dict[str, dict[int, int]] = {"one": {}, "other": {}}
    deaths = 0

    def learn() -> None:
        for id, line in lines.items():
            for number, answer in line.answers.items():
                value = codec.loads(answer.payload)
                assert known[id].setdefault(number, value) == value  # it may come again, and is the same

    def connect() -> None:
        learn()
        for id in ("one", "other"):
            line = lines[id] = Line(host.address, id)
            line.number = sent[id]
            assert line.met is not None
            for number in range(line.met.done + 1, sent[id] + 1):
                line.tell(Call(number, "step", codec.dumps(((), {})), again=True))

    connect()
    while sum(sent.values()) < wanted:
        for id, line in lines.items():
            for _ in range(chance.randrange(400)):
                if sum(sent.values()) < wanted:
                    sent[id] = line.call("step")
        if chance.random() < 0.2:
            time.sleep(chance.random() * 0.05)
            deaths += 1
            host.again()
            connect()
    for id, line in lines.items():
        line.until(lambda id=id, line=line: len(line.answers.keys() | known[id].keys()) == sent[id])
    learn()
    values = sorted(value for each in known.values() for value in each.values())
    assert values == list(range(1, wanted + 1)), f"seed {seed}, {deaths} deaths"
    assert lines["one"].ask("seen")[:2] == (wanted, float(wanted))


def test_a_replayed_state_begins_at_the_last_checkpoint(start: Start) -> None:
    host = start(Model, restarts=9, replay=True)
    line = Line(host.address)
    for _ in range(100):
        line.ask("step")
    checkpointed(line)
    line.ask("step")
    number = line.call("sleep", 60)
    line.until(lambda: line.said)
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"
    stream = line.stream("count_up", 5, room=2)
    line.until(lambda: len(line.items.get(stream, ())) == 2)
    host.again()
    line = Line(host.address)
    assert line.failure(stream).type_name == "StreamLostError"
    line.number = stream
    assert line.ask("seen")[0] == 106


def test_large_arguments_and_results_pass_through_shared_memory(start: Start) -> None:
    class Echo:
        def double(self, x: Any) -> Any:
            return 2 * x

    host = start(Echo)
    line = Line(host.address)
    sent = line.segment(np.ones(1 << 20))
    number = line.send("double", sent)
    assert line.value(number).sum() == 2 << 20
    line.until(lambda: sent.name in line.freed)
    while held(host):
        facts(line)


def test_a_caller_that_is_gone_leaves_no_segment(start: Start) -> None:
    class Large:
        def make(self) -> Any:
            return np.ones(1 << 20)

    host = start(Large)
    line, other = Line(host.address), Line(host.address, "other")
    line.answer(line.call("make"))
    assert held(host)
    line.close()
    while held(host):
        facts(other)


@pytest.mark.gpu
def test_a_full_gpu_is_explained_and_the_actor_stays(start: Start) -> None:
    class Hungry:
        def eat(self, gigabytes: int) -> int:
            import torch

            return int(torch.empty(gigabytes << 30, dtype=torch.uint8, device="cuda").numel())

    line = Line(start(Hungry, gpus=1).address)
    assert line.ask("eat", 1) == 1 << 30
    failure = line.failure(line.call("eat", 10_000))
    assert failure.type_name == "OutOfMemoryError"
    assert any("MiB in use" in note for note in failure.notes)
    assert line.ask("eat", 1) == 1 << 30


def test_arguments_that_went_with_their_caller_are_that_calls_failure(start: Start) -> None:
    host = start(Model, restarts=1, replay=True)
    line = Line(host.address)
    assert line.ask("step") == 1
    gone = line.send("step", Ref(f"{host.prefix}gone", 100_000))
    assert line.failure(gone).type_name == "ObjectGoneError"
    assert line.ask("step") == 2
    host.again()
    line = Line(host.address, "other")
    assert line.ask("step") == 3


def test_a_stream_whose_caller_went_before_it_began_keeps_nobody_waiting(start: Start) -> None:
    host = start(Model, restarts=1)
    line, other = Line(host.address), Line(host.address, "other")
    number = other.call("sleep", 60)
    other.until(lambda: other.said)
    line.stream("count_up", 10**6, room=1)
    eventually(lambda: facts(other).queued == 1)
    line.close()
    eventually(lambda: facts(other).queued == 0)
    other.tell(CancelCall(number))
    assert other.answer(number).state == "cancelled"
    checkpointed(other)
