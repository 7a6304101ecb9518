"""What actors hold in the core, and what they wait for: GPUs, cores, memory."""

from core_actors import Stage, answer, kinds
from core_script import W, task

from cellmesh.scheduler.core import events as e
from cellmesh.scheduler.core.commands import HostActor, Notify, StartTask, StartWorker, StopWorker, TellActor
from cellmesh.scheduler.core.tables import ActorState, WorkerState


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


def test_a_hub_that_comes_back_to_a_smaller_machine_ends_who_waits_for_what_is_gone():
    s = Stage(gpus=("g0",))
    s.start(1, gpus=1000)
    s.ask(2, gpus=1000)
    told = s.tell(e.HubStarted(0.0, 2, 2, ()))
    assert TellActor(2, ActorState.ENDED, "needs 1 GPU; this machine has 0") in told


def test_a_notebook_whose_own_actors_hold_all_cores_is_told_so():
    s = Stage()
    s.start(cpus=2000, name="llm")
    s.launch(task())
    s.ready(s.state.next_worker - 1)
    assert kinds(s.fire("waiting:s"), Notify) == [Notify("s", "waiting for a core, held by actor llm")]
