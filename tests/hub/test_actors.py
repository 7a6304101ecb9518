"""Actors' lives through a real hub: starts, names, ends, resources, restarts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from conformance.recording import Desk
from hub.acting import Broken, Caller, Counter, alive, ask, ended, once, start, waiting

from cellmesh.jupyter_ext.hubs import plain
from cellmesh.kernel import doctor
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.messages import (
    ActorOptions,
    Ref,
    StartActor,
)
from tests.support import leftovers


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


def test_what_this_machine_can_never_give_is_refused_at_once(desk: Desk) -> None:
    assert ask(desk, Counter, gpus=1).why == "needs 1 GPU; this machine has 0"
    assert ask(desk, Counter, cpus=3).why == "needs 3 cores; the pool has 2"
    assert ask(desk, Counter, gpus=-1).why.startswith("gpus=-1: an actor takes")
    assert desk.engine.actors.all() == []


def test_cores_are_held_for_life_and_who_waits_is_told_by_whom(desk: Desk) -> None:
    big = start(desk, Counter, name="big", cpus=2)
    assert once(big, "threads") == "2"
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


def test_one_of_another_session_is_named(folder: Path) -> None:
    first, second = (Desk(EmbeddedEngine(folder), key) for key in ("first", "second"))
    start(first, Counter, 5, name="llm")
    answer = second.engine.actors.find("llm")
    assert answer.actor is None
    assert "lives in another session, of " in answer.why
    assert "detached=True" in answer.why
    for desk in (first, second):
        desk.engine.close(end_session=True)


def test_detached_ones_outlive_their_session_and_end_when_told(folder: Path, runtime: Path) -> None:
    first = Desk(EmbeddedEngine(folder), "first")
    info = start(first, Counter, 5, name="llm", detached=True, restarts=1, checkpoint=False)
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
    assert any("; 1 actor" in finding.text for finding in doctor.hubs())


def test_parts_of_a_gpu_are_held_for_life(gpus: Desk) -> None:
    first = start(gpus, Counter, name="a", gpus=0.5)
    second = start(gpus, Counter, gpus=0.5)
    assert first.gpus == second.gpus == ["0"]
    assert once(first, "where")[2] == "0"
    answer = ask(gpus, Counter, gpus=1)
    assert answer.actor is not None
    assert answer.actor.state == "waiting"
    assert answer.actor.why == "waiting for 1 GPU, held by actor a, an actor of class Counter"
    gpus.engine.actors.end(first.id, "")
    gpus.engine.actors.end(second.id, "")
    assert alive(gpus, answer.actor.id).gpus == ["0"]
    assert gpus.value(gpus.call(abs, -3)) == 3


def test_a_gpu_that_another_hub_took_is_waited_for_and_costs_no_restart(gpus: Desk) -> None:
    folders.gpu_locks().mkdir(mode=0o700, exist_ok=True)
    lock = folders.take_lock(folders.gpu_lock("0"))
    assert lock is not None
    answer = ask(gpus, Counter, gpus=1)
    assert answer.actor is not None
    told = waiting(gpus, answer.actor.id)
    assert told.why == "waiting for 1 GPU, held by another hub of yours"
    os.close(lock)
    info = alive(gpus, answer.actor.id)
    assert (info.gpus, info.incarnation) == (["0"], 1)


def test_a_restart_holds_the_gpu_again(gpus: Desk) -> None:
    info = start(gpus, Counter, gpus=1, restarts=1)
    os.kill(info.pid, signal.SIGKILL)
    assert alive(gpus, info.id, 2).gpus == ["0"]


def test_the_page_can_show_actors(desk: Desk) -> None:
    start(desk, Counter, name="llm", env={"TOKEN": "secret"})
    ended(desk, ask(desk, Broken).actor.id)  # type: ignore[union-attr]
    shown = json.dumps(plain(desk.engine.status()))
    assert '"llm"' in shown
    assert "secret" not in shown
