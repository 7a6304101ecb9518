"""Actors in the core: names, ends, restarts, the hub's death."""

import pytest
from core_actors import Stage, answer, kinds
from core_script import W

from cellmesh.scheduler.core import commands as c, events as e
from cellmesh.scheduler.core.actor_events import ActorRenewed
from cellmesh.scheduler.core.actors import DETACHED
from cellmesh.scheduler.core.commands import (
    ForgetActor,
    HostActor,
    KillWorker,
    Notify,
    SetTimer,
    StartWorker,
    StopWorker,
    TellActor,
)
from cellmesh.scheduler.core.tables import ActorState


def test_a_life():
    s = Stage()
    assert s.ask() == [answer(1, fresh=True), StartWorker(W, "s", None, (), 1)]
    assert s.ready(W) == [HostActor(W, 1, 1)]
    assert s.up() == [TellActor(1, ActorState.ALIVE)]
    told = s.stop()
    assert told == [
        TellActor(1, ActorState.ENDED, "was stopped"),
        StopWorker(W),
        SetTimer(f"ending:{W}", 2.0),
    ]
    assert s.fire(f"ending:{W}") == [KillWorker(W)]
    assert kinds(s.lost(W), ForgetActor) == [ForgetActor(1)]
    assert s.stop() == []


def test_what_cannot_be_made_has_ended_whatever_restarts_it_had():
    s = Stage()
    s.ask(restarts=3)
    s.ready(W)
    assert kinds(s.up(failed=True), TellActor) == [TellActor(1, ActorState.ENDED, "could not be made")]
    assert not kinds(s.lost(W), StartWorker)


def test_an_equal_start_of_a_name_finds_it_another_is_refused_or_replaces_it():
    s = Stage()
    worker = s.start(name="llm")
    assert s.ask(2, name="llm") == [answer(1, request=2)]
    (refused,) = s.ask(3, name="llm", same="2")
    assert refused.actor is None
    assert "%mesh reload llm" in refused.why
    assert "replace=True" in refused.why
    told = s.ask(4, name="llm", same="2", replace=True)
    assert told[:2] == [TellActor(1, ActorState.ENDED, "was replaced"), StopWorker(worker)]
    assert s.state.names["s", "llm"] == 4
    s.attach("t")
    assert kinds(s.ask(5, name="llm", same="3", session="t"), StartWorker)  # a name of its own session


def test_a_reloaded_class_is_what_starts_are_compared_with():
    s = Stage()
    s.start(name="llm")
    s.tell(ActorRenewed(0.0, 1, "2"))
    assert s.ask(2, name="llm", same="2") == [answer(1, request=2)]


def test_a_death_is_survived_as_often_as_was_asked():
    s = Stage()
    worker = s.start(restarts=1, cpus=2000)
    told = s.lost(worker)
    assert TellActor(1, ActorState.RESTARTING, "was killed by SIGKILL") in told
    assert kinds(told, StartWorker) == [StartWorker(worker + 1, "s", None, (), 1)]
    assert s.ready(worker + 1) == [HostActor(worker + 1, 1, 2)]
    assert s.up(worker, incarnation=1) == []  # the dead one's last word
    assert s.up(worker + 1, incarnation=2) == [TellActor(1, ActorState.ALIVE)]
    why = "was killed by SIGKILL (the last of 2 deaths)"
    told = s.lost(worker + 1)
    assert kinds(told, TellActor) == [TellActor(1, ActorState.ENDED, why)]
    assert kinds(told, Notify) == [Notify("s", f"an actor of class Model {why}")]
    assert s.state.slots_used == 0


def test_a_drain_is_no_death():
    s = Stage()
    worker = s.start(restarts=1)
    assert s.drains(worker) == [StopWorker(worker), SetTimer(f"ending:{worker}", 30.0)]
    s.lost(worker, "ended itself")
    assert s.state.actors[1].deaths == 0
    assert s.state.actors[1].state is ActorState.STARTING


def test_one_that_is_stopped_is_waited_for_and_ended_by_force():
    s = Stage()
    worker = s.start()
    assert s.paused(worker) == [Notify("s", "an actor of class Model was stopped (SIGSTOP)")]
    assert kinds(s.stop(), KillWorker) == [KillWorker(worker)]


@pytest.mark.parametrize("how", ["leave", "reset", "end"])
def test_what_ends_with_whom(how):
    s = Stage()
    s.start(1)
    s.start(2, name="llm")
    s.start(3, detached=True)
    told = {"leave": s.leave, "reset": s.reset, "end": s.end}[how]()
    ended = {command.actor for command in kinds(told, TellActor)}
    assert ended == ({1} if how == "leave" else {1, 2})
    assert 3 in s.state.actors


def test_the_session_of_detached_ones_ends_with_the_last_of_them_and_so_does_the_hub():
    s = Stage()
    worker = s.start(name="llm", detached=True)
    s.ask(2, session=DETACHED)  # from inside it
    s.end()
    assert set(s.state.sessions) == {DETACHED}
    told = s.stop()
    assert TellActor(2, ActorState.ENDED, "ended with its session") in told
    assert not s.state.sessions
    s.lost(worker)
    assert c.EndHub() in s.lost(worker + 1)


def test_the_hubs_death_is_not_the_actors():
    s = Stage()
    worker = s.start(restarts=1)
    s.hub_dies(worker)
    assert s.state.actors[1].state is ActorState.ALIVE
    assert s.tell(e.WorkerReady(0.0, worker, hosting=(1, 1))) == [c.CancelTimer(f"rejoin:{worker}")]
    assert s.state.actors[1].worker == worker


def test_an_order_that_died_with_the_hub_is_given_again():
    s = Stage()
    s.ask()
    s.ready(W)
    s.hub_dies(W)
    assert HostActor(W, 1, 1) in s.ready(W)


def test_a_death_while_the_hub_was_away_is_one():
    s = Stage()
    worker = s.start(restarts=1)
    told = s.hub_dies()
    assert TellActor(1, ActorState.RESTARTING, "died while the hub was away") in told
    assert kinds(told, StartWorker)[0].worker != worker


def test_one_that_leaves_with_its_state_is_let_though_the_hub_dies():
    s = Stage()
    worker = s.start(restarts=1)
    s.drains(worker)
    assert s.hub_dies(worker)[:2] == [StopWorker(worker), SetTimer(f"ending:{worker}", 30.0)]
    assert s.tell(e.WorkerReady(0.0, worker, hosting=(1, 1))) == []
    told = s.lost(worker, "ended itself")
    assert TellActor(1, ActorState.RESTARTING, "ended itself") in told
    assert s.state.actors[1].deaths == 0
