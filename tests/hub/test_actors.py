"""Actors' lives through a real hub: starts, names, ends, resources, restarts."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk
from hub.acting import Broken, Caller, Counter, alive, ask, ended, once, start

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.objects import codec
from tests.support import leftovers


@pytest.fixture
def folder(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    return ensure_hub(f"test-{uuid.uuid4().hex[:6]}")


@pytest.fixture
def desk(folder: Path, runtime: Path) -> Iterator[Desk]:
    """At the end nothing may be left."""
    opened = Desk(EmbeddedEngine(folder))
    yield opened
    pids = [process.pid for process in leftovers.processes(runtime)]
    opened.engine.close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []


def test_an_actor_keeps_its_state_from_call_to_call_and_ends_when_asked(desk: Desk) -> None:
    info = start(desk, Counter, 5, env={"FLAVOUR": "sweet"})
    with Caller(info) as caller:
        assert [caller.call("add", 1), caller.call("add", 1)] == [6, 7]
        pid, flavour, _ = caller.call("where")
    assert (pid, flavour) == (info.pid, "sweet")
    assert pid != os.getpid()
    desk.engine.actors.end(info.id, "was stopped by h.stop()")
    assert ended(desk, info.id).why.startswith("was stopped by h.stop() at ")
    assert leftovers.wait_until_gone([info.pid]) == []
    answer = desk.engine.actors.find("", info.id)
    assert answer.actor is not None
    assert answer.actor.state == "ended"
    assert desk.engine.actors.all() == []


def test_a_class_that_cannot_be_made_is_its_starters_error_and_not_tried_again(desk: Desk) -> None:
    answer = ask(desk, Broken, restarts=3)
    assert answer.actor is not None
    info = ended(desk, answer.actor.id)
    failure = codec.loads(info.failure)
    assert failure.message == "no model at this path"
    assert info.why.startswith("could not be made at ")
    assert not [told for told in desk.told.actors(info.id) if told.incarnation > 1]


def test_a_name_finds_the_living_one_if_it_was_started_alike(desk: Desk) -> None:
    first = start(desk, Counter, name="llm")
    again = ask(desk, Counter, name="llm")
    assert again.actor == first
    assert not again.fresh
    other = ask(desk, Counter, 7, name="llm", same="2")
    assert other.actor is None
    assert "%mesh reload llm" in other.why
    assert "replace=True" in other.why
    assert desk.engine.actors.find("llm").actor == first
    assert 'Did you mean "llm"?' in desk.engine.actors.find("lm").why
    replaced = ask(desk, Counter, 7, name="llm", same="2", replace=True)
    assert replaced.actor is not None
    assert replaced.fresh
    assert ended(desk, first.id).why.startswith("was replaced at ")
    assert once(alive(desk, replaced.actor.id), "add", 0) == 7


def test_a_dead_actor_tells_when_why_and_what_it_said_last(desk: Desk) -> None:
    info = start(desk, Counter, name="llm")
    once(info, "shout", "loading layer 7")
    os.kill(info.pid, signal.SIGKILL)
    why = ended(desk, info.id).why
    assert why.startswith("was killed by SIGKILL at ")
    assert "peak memory" in why
    assert "loading layer 7" in why
    assert "was killed by SIGKILL" in desk.engine.actors.find("llm").why


def test_a_process_that_dies_is_replaced_while_restarts_are_left(desk: Desk) -> None:
    info = start(desk, Counter, 5, restarts=1)
    os.kill(info.pid, signal.SIGKILL)
    again = alive(desk, info.id, 2)
    assert again.pid != info.pid
    assert again.address != info.address
    assert once(again, "add", 1) == 6
    os.kill(again.pid, signal.SIGKILL)
    assert "the last of 2 deaths" in ended(desk, info.id).why


def test_what_this_machine_can_never_give_is_refused_at_once(desk: Desk) -> None:
    assert ask(desk, Counter, gpus=1).why == "needs 1 GPU; this machine has 0"
    assert ask(desk, Counter, cpus=3).why == "needs 3 cores; the pool has 2"
    assert ask(desk, Counter, gpus=-1).why.startswith("gpus=-1: an actor takes")
    assert desk.engine.actors.all() == []


def test_cores_are_held_for_life_and_who_waits_is_told_by_whom(desk: Desk) -> None:
    big = start(desk, Counter, name="big", cpus=2)
    answer = ask(desk, Counter, cpus=1)
    assert answer.actor is not None
    assert (answer.actor.state, answer.actor.why) == ("waiting", "waiting for 1 core, held by actor big")
    desk.engine.actors.end(big.id, "")
    alive(desk, answer.actor.id)
    assert desk.engine.status().slots_used == 1
    assert desk.value(desk.call(abs, -3)) == 3


def test_unnamed_ones_end_with_their_kernel_named_ones_stay(folder: Path, runtime: Path) -> None:
    first = Desk(EmbeddedEngine(folder), grace=600.0)
    unnamed, named = start(first), start(first, name="llm")
    once(named, "add", 5)
    first.engine.close(end_session=False)
    assert leftovers.wait_until_gone([unnamed.pid]) == []
    second = Desk(EmbeddedEngine(folder), grace=600.0)
    answer = second.engine.actors.find("llm")
    assert answer.actor == named
    assert once(named, "add", 1) == 6
    pids = [process.pid for process in leftovers.processes(runtime)]
    second.engine.close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []
