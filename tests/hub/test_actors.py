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
from cellmesh.scheduler.wire.messages import ActorOptions, Ref, StartActor
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


def test_detached_ones_outlive_their_session_and_end_when_told(folder: Path, runtime: Path) -> None:
    first = Desk(EmbeddedEngine(folder), "first")
    info = start(first, Counter, 5, name="llm", detached=True, restarts=1)
    first.engine.close(end_session=True)
    second = Desk(EmbeddedEngine(folder), "second")
    pids = [process.pid for process in leftovers.processes(runtime)]
    assert second.engine.actors.find("llm").actor == info
    assert [found.name for found in second.engine.actors.all()] == ["llm"]
    assert once(info, "add", 1) == 6
    os.kill(info.pid, signal.SIGKILL)
    again = alive(second, info.id, 2)  # its class and arguments are still there
    assert once(again, "add", 1) == 6
    second.engine.close(end_session=True)
    third = Desk(EmbeddedEngine(folder), "third")
    assert once(again, "add", 1) == 7
    third.engine.actors.end(info.id, "")
    third.engine.close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []


def test_a_large_class_and_large_arguments_outlive_who_brought_them(folder: Path, runtime: Path) -> None:
    first = Desk(EmbeddedEngine(folder), "first")
    prefix = first.engine.object_prefix()
    wanted = StartActor(
        0,
        first.engine.new_job_id(),
        "",
        "Counter",
        "1",
        first.blob(Counter),
        codec.dumps((([0] * 200_000,), {}), prefix),
        ActorOptions(detached=True, restarts=1),
    )
    assert isinstance(wanted.payload, Ref)
    answer = first.engine.actors.start(wanted)
    assert answer.actor is not None
    info = alive(first, answer.actor.id)
    first.engine.close(end_session=True)
    second = Desk(EmbeddedEngine(folder), "second")
    second.engine.actors.find("", info.id)
    os.kill(info.pid, signal.SIGKILL)
    assert once(alive(second, info.id, 2), "size") == 200_000
    second.engine.actors.end(info.id, "")
    ended(second, info.id)
    pids = [process.pid for process in leftovers.processes(runtime)]
    second.engine.close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []


def test_one_that_is_told_to_end_goes_on_elsewhere_without_counting(desk: Desk) -> None:
    info = start(desk, Counter, restarts=1)
    os.kill(info.pid, signal.SIGTERM)
    second = alive(desk, info.id, 2)
    os.kill(second.pid, signal.SIGKILL)
    alive(desk, info.id, 3)
    frail = start(desk, Counter)
    os.kill(frail.pid, signal.SIGTERM)
    assert ended(desk, frail.id).why.startswith("was told to end (SIGTERM) at ")


def test_one_that_is_stopped_is_waited_for(desk: Desk) -> None:
    info = start(desk, Counter, 5, name="llm")
    os.kill(info.pid, signal.SIGSTOP)
    desk.told.wait(lambda: ("notice", "actor llm was stopped (SIGSTOP)") in desk.told.calls, "word of it")
    os.kill(info.pid, signal.SIGCONT)
    desk.told.wait(lambda: ("notice", "actor llm goes on (SIGCONT)") in desk.told.calls, "word of it")
    assert once(info, "add", 1) == 6


def test_a_method_that_does_not_end_does_not_keep_its_actor(desk: Desk) -> None:
    info = start(desk, Counter)
    with Caller(info) as caller:
        caller.begin("sleep", 600)
        caller.until_busy()
        desk.engine.actors.end(info.id, "")
        assert leftovers.wait_until_gone([info.pid]) == []


def test_reset_ends_the_sessions_actors(desk: Desk) -> None:
    info = start(desk, Counter, name="llm")
    desk.engine.reset()
    assert ended(desk, info.id).why.startswith("was ended by %mesh reset at ")
    assert start(desk, Counter, name="llm").id != info.id


def test_status_lists_actors_apart_from_workers(desk: Desk) -> None:
    info = start(desk, Counter, name="llm")
    (session,) = desk.engine.status().sessions
    assert session.actors == [info]
    assert session.task_workers == []


def test_an_actor_survives_the_hubs_death_and_its_callers_do_not_notice(desk: Desk) -> None:
    info = start(desk, Counter, name="llm", restarts=1)
    with Caller(info) as caller:
        assert caller.call("add", 1) == 1
        os.kill(desk.engine.status().pid, signal.SIGKILL)
        assert [caller.call("add", 1) for _ in range(100)] == list(range(2, 102))
        found = desk.engine.actors.find("llm").actor
        assert found == info
        assert caller.call("add", 1) == 102
    os.kill(info.pid, signal.SIGKILL)
    assert once(alive(desk, info.id, 2), "add", 1) == 1


def test_a_death_while_the_hub_is_away_is_seen(desk: Desk) -> None:
    mortal, other = start(desk, Counter), start(desk, Counter, restarts=1)
    nursery, hub = desk.engine.status().nursery, desk.engine.status().pid
    os.kill(nursery, signal.SIGSTOP)  # nobody starts a new hub meanwhile
    os.kill(hub, signal.SIGKILL)
    os.kill(mortal.pid, signal.SIGKILL)
    os.kill(other.pid, signal.SIGKILL)
    os.kill(nursery, signal.SIGCONT)
    ended(desk, mortal.id)
    alive(desk, other.id, 2)


def test_one_that_was_starting_when_the_hub_died_is_there_once(desk: Desk) -> None:
    for _ in range(3):
        answer = ask(desk, Counter)
        assert answer.actor is not None
        os.kill(desk.engine.status().pid, signal.SIGKILL)
        assert once(alive(desk, answer.actor.id), "add", 1) == 1
    assert len(desk.engine.actors.all()) == 3
