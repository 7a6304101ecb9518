"""Actors in the core: names, processes and what these hold, ends, restarts, the hub's death."""

import pytest
from core_script import Script, W, task

from cellmesh.scheduler.core import commands as c, events as e
from cellmesh.scheduler.core.actor_events import (
    ActorEndAsked,
    ActorRenewed,
    ActorRequested,
    ActorSpec,
    ActorUp,
)
from cellmesh.scheduler.core.actors import DETACHED
from cellmesh.scheduler.core.commands import (
    AnswerActor,
    ForgetActor,
    HostActor,
    KillWorker,
    Notify,
    SetTimer,
    StartTask,
    StartWorker,
    StopWorker,
    TellActor,
)
from cellmesh.scheduler.core.tables import ActorState, WorkerState


class Stage(Script):
    """A script with actors; the request of an actor has its number."""

    def ask(self, actor=1, name="", same="1", session="s", replace=False, **spec):
        what = name, "Model", same, ActorSpec(**spec), replace
        return self.tell(ActorRequested(0.0, f"kernel of {session}", actor, session, actor, *what))

    def up(self, worker=W, actor=1, incarnation=1, failed=False):
        return self.tell(ActorUp(0.0, worker, actor, incarnation, failed))

    def stop(self, actor=1, why="was stopped"):
        return self.tell(ActorEndAsked(0.0, actor, why))

    def start(self, actor=1, **options):
        """One that answers calls; the process that it has."""
        self.ask(actor, **options)
        worker = self.state.actors[actor].worker
        self.ready(worker)
        self.up(worker, actor)
        return worker


def kinds(commands, *wanted):
    return [command for command in commands if isinstance(command, wanted)]


def answer(actor, why="", fresh=False, request=1):
    return AnswerActor("kernel of s", request, actor, why, fresh)


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


def test_what_can_never_be_had_is_refused_and_replaces_nothing():
    s = Stage(gpus=("g0",), memory=8)
    s.start(name="llm")
    assert s.ask(2, gpus=2000) == [answer(None, "needs 2 GPUs; this machine has 1", request=2)]
    assert s.ask(3, cpus=3000)[0].why == "needs 3 cores; the pool has 2"
    assert s.ask(4, memory=9)[0].why.startswith("needs 9e-06 MB of memory; this machine has")
    assert (
        s.ask(5, gpus=1500)[0].why
        == "gpus=1.5: an actor takes a part of one GPU (like 0.5) or whole ones (1, 2, ...)"
    )
    assert s.ask(6, name="llm", same="2", gpus=2000, replace=True)[0].actor is None
    assert set(s.state.actors) == {1}


def test_a_gpu_that_another_hub_holds_is_waited_for_and_costs_no_restart():
    s = Stage(gpus=("g0", "g1"))
    s.ask(1, gpus=1000)
    told = s.refused(W, "g0")
    assert kinds(told, StartWorker) == [StartWorker(W + 1, "s", None, ("g1",), 1)]
    told = s.refused(W + 1, "g1")
    assert TellActor(1, ActorState.WAITING, "waiting for 1 GPU, held by another hub of yours") in told
    assert kinds(told, StartWorker) == []
    told = s.fire("elsewhere:g1")
    assert kinds(told, StartWorker) == [StartWorker(W + 2, "s", None, ("g1",), 1)]
    s.ready(W + 2)
    s.up(W + 2)
    assert s.state.actors[1].state is ActorState.ALIVE
    assert s.state.actors[1].incarnation == 1
    assert s.stop()


def test_a_restart_whose_gpu_another_hub_took_waits():
    s = Stage(gpus=("g0",))
    worker = s.start(1, gpus=1000, restarts=1)
    s.lost(worker)
    told = s.refused(worker + 1, "g0")
    why = "waiting for 1 GPU, held by another hub of yours"
    assert TellActor(1, ActorState.RESTARTING, why) in told
    assert kinds(s.fire("elsewhere:g0"), StartWorker) == [StartWorker(worker + 2, "s", None, ("g0",), 1)]
    assert s.ready(worker + 2) == [HostActor(worker + 2, 1, 2)]


def test_a_hub_that_comes_back_asks_again_for_what_another_held():
    s = Stage(gpus=("g0",))
    s.ask(1, gpus=1000)
    s.refused(W, "g0")
    told = s.tell(e.HubRecovered(0.0, 2, ()))
    assert [start.gpus for start in kinds(told, StartWorker)] == [("g0",)]


def test_parts_of_a_gpu_are_shared_and_who_finds_too_little_is_told_who_holds_it():
    s = Stage(gpus=("g0",))
    first = s.start(1, name="a", gpus=500)
    second = s.start(2, name="b", gpus=500)
    assert s.state.workers[first].gpus == s.state.workers[second].gpus == ("g0",)
    told = s.ask(3, gpus=1000)
    assert TellActor(3, ActorState.WAITING, "waiting for 1 GPU, held by actor a, actor b") in told
    s.stop(1)
    assert TellActor(3, ActorState.WAITING, "waiting for 1 GPU, held by actor b") in s.lost(first)
    s.stop(2)
    told = s.lost(second)
    assert kinds(told, StartWorker) == [StartWorker(second + 1, "s", None, ("g0",), 3)]
    assert TellActor(3, ActorState.STARTING) in told


def test_idle_task_workers_make_room_for_it():
    s = Stage(gpus=("g0",))
    s.launch(task(gpus=1000))
    s.ready(W)
    s.ok(W, s.state.next_attempt - 1)
    assert s.state.workers[W].state is WorkerState.IDLE
    assert kinds(s.ask(gpus=1000), StopWorker) == [StopWorker(W)]
    assert kinds(s.lost(W), StartWorker) == [StartWorker(W + 1, "s", None, ("g0",), 1)]


def test_cores_and_memory_are_its_own_until_its_end():
    s = Stage(memory=8)
    worker = s.start(cpus=1000, memory=6)
    assert (s.state.slots_used, s.state.memory_used) == (1000, 6)
    s.launch(task(0), task(1), task(2, memory=3))
    s.ready(worker + 1)
    assert s.state.slots_used == 2000
    s.stop()
    assert (s.state.slots_used, s.state.memory_used) == (1000, 0)


def test_who_waits_for_cores_gathers_them_before_tasks_take_them():
    s = Stage(cpus=2)
    s.launch(*(task(index) for index in range(10)))
    s.ready(W)
    s.ready(W + 1)
    first, second = s.state.workers[W].task[1], s.state.workers[W + 1].task[1]
    told = s.ask(cpus=2000)
    assert TellActor(1, ActorState.WAITING, "waiting for 2 cores, held by s.ipynb") in told
    attempts = {t.spec.index: t.attempt for t in s.state.jobs[1].tasks.values()}
    assert not kinds(s.ok(W, attempts[first], index=first), StartTask)
    told = s.ok(W + 1, attempts[second], index=second)
    assert kinds(told, StartWorker) == [StartWorker(W + 2, "s", None, (), 1)]
    assert not kinds(told, StartTask)


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


def test_a_hub_that_comes_back_to_a_smaller_machine_ends_who_waits_for_what_is_gone():
    s = Stage(gpus=("g0",))
    s.start(1, gpus=1000)
    s.ask(2, gpus=1000)
    told = s.tell(e.HubStarted(0.0, 2, 2, ()))
    assert TellActor(2, ActorState.ENDED, "needs 1 GPU; this machine has 0") in told


def test_one_that_leaves_with_its_state_is_let_though_the_hub_dies():
    s = Stage()
    worker = s.start(restarts=1)
    s.drains(worker)
    assert s.hub_dies(worker)[:2] == [StopWorker(worker), SetTimer(f"ending:{worker}", 30.0)]
    assert s.tell(e.WorkerReady(0.0, worker, hosting=(1, 1))) == []
    told = s.lost(worker, "ended itself")
    assert TellActor(1, ActorState.RESTARTING, "ended itself") in told
    assert s.state.actors[1].deaths == 0


def test_a_notebook_whose_own_actors_hold_all_cores_is_told_so():
    s = Stage()
    s.start(cpus=2000, name="llm")
    s.launch(task())
    s.ready(s.state.next_worker - 1)
    assert kinds(s.fire("waiting:s"), Notify) == [Notify("s", "waiting for a core, held by actor llm")]
