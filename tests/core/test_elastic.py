"""How many task workers a session has: kept warm, bounded; and who is told that others hold the cores."""

from core_script import A, Script, W, task

from cellmesh.scheduler.core.commands import Notify, SetTimer, StartWorker, StopWorker


def kinds(commands, kind):
    return [command for command in commands if isinstance(command, kind)]


def test_so_many_idle_workers_are_kept_and_no_more():
    s = Script(cpus=3, least=2)
    assert kinds(s.launch(task()), StartWorker) == [StartWorker(W, "s", None), StartWorker(W + 1, "s", None)]
    s.ready(W)
    s.ready(W + 1)
    s.launch(task(), task(1), job=2)
    s.ready(W + 2)
    for job, tasks in ((1, 1), (2, 2)):
        for index in range(tasks):
            ended = s.state.jobs[job].tasks[index]
            s.ok(ended.worker, ended.attempt, job=job, index=index)
    assert s.fire(f"idle:{W + 2}") == [StopWorker(W + 2)]
    assert s.fire(f"idle:{W}") == s.fire(f"idle:{W + 1}") == []
    assert kinds(s.lost(W), StartWorker) == [StartWorker(W + 3, "s", None)]  # they are so many again


def test_a_session_that_never_used_the_pool_keeps_nothing():
    s = Script(least=2)
    assert kinds(s.mesh(1), StartWorker) == [StartWorker(W, "s", 0)]


def test_a_session_has_no_more_workers_than_it_may():
    s = Script(cpus=4, most=2)
    assert len(kinds(s.launch(*[task(i) for i in range(9)]), StartWorker)) == 2
    s = Script(cpus=4, most=8)
    assert len(kinds(s.launch(*[task(i) for i in range(9)]), StartWorker)) == 4  # more could not run


def test_an_idle_worker_of_another_kind_makes_room():
    s = Script(cpus=4, gpus=("g0", "g1"), most=2)
    s.launch(task(), task(1))
    s.ready(W)
    s.ready(W + 1)
    assert kinds(s.launch(task(0, gpus=1000), task(1, gpus=1000), job=2), StartWorker) == [
        StartWorker(W + 2, "s", None, ("g0",))  # each kind may have one
    ]
    ended = s.ok(W, A)
    assert kinds(ended, StopWorker) == [StopWorker(W)]
    assert kinds(ended, StartWorker) == []  # there is one too many still
    ended = s.ok(W + 1, A + 1, index=1)
    assert kinds(ended, StopWorker) == [StopWorker(W + 1)]
    assert kinds(ended, StartWorker) == [StartWorker(W + 3, "s", None, ("g1",))]


def test_a_notebook_is_told_once_a_wait_who_holds_the_cores():
    s = Script(cpus=1)
    s.launch(task(), task(1))
    s.ready(W)
    s.attach("t")
    assert SetTimer("waiting:t", 5.0) in s.launch(task(), task(1), job=2, session="t")
    s.ready(W + 1)
    assert s.fire("waiting:t") == [Notify("t", "waiting for a core, held by s.ipynb")]
    assert s.launch(task(), job=3, session="t") == []  # the same wait
    s.ok(W, A)  # t is served
    s.ok(W + 1, A + 1, job=2)  # and then s
    assert "waiting:t" in s.state.timers  # another wait
    assert s.fire("waiting:t") == [Notify("t", "waiting for a core, held by s.ipynb")]


def test_a_wait_that_is_over_is_not_told():
    s = Script(cpus=1)
    s.launch(task())
    s.ready(W)
    s.attach("t")
    s.launch(task(), job=2, session="t")
    s.ready(W + 1)
    s.ok(W, A)
    assert s.fire("waiting:t") == []


def test_no_worker_makes_room_for_one_whose_gpu_is_not_free():
    s = Script(cpus=3, gpus=("g0",), least=1, most=2)
    s.launch(task(0))
    s.ready(W)
    s.ok(W, A)
    commands = s.launch(task(0, gpus=1000), task(1, gpus=1000), job=2)  # one device for two tasks
    assert kinds(commands, StopWorker) == []
    assert kinds(s.ready(W + 1), StopWorker) == []
