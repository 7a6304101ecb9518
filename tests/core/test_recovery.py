"""The hub dies and comes back: from the journal, its living workers, and timers set anew."""

from core_script import A, Script, W, pinned, task

from cellmesh.scheduler.core import events as e
from cellmesh.scheduler.core.commands import (
    CancelTimer,
    DeliverItems,
    InterruptTask,
    KillWorker,
    Notify,
    SetTimer,
    SettleTask,
    StartTask,
    StartWorker,
    StopWorker,
    TellMesh,
)
from cellmesh.scheduler.core.state import TaskState, WorkerState

A2 = 2 * 2**40 + 1  # the first attempt of epoch 2
W2 = 2_000_001
GRACE = SetTimer("grace:s", 600.0)


def running(**options):
    s = Script()
    s.launch(task(size=2, **options))
    s.ready(W)
    return s


def test_a_worker_that_still_runs_its_task_goes_on():
    s = running()
    s.report(W, A, 0)
    assert s.hub_dies(W) == [SetTimer(f"rejoin:{W}", 10.0), GRACE]
    assert s.attach() == [CancelTimer("grace:s")]
    assert s.ready(W, (1, 0, A)) == [CancelTimer(f"rejoin:{W}")]
    assert s.state.workers[W].state is WorkerState.BUSY
    assert s.ok(W, A, 0, 1)[:2] == [DeliverItems(1, 0, W, (1,)), SettleTask(1, 0, TaskState.DONE)]


def test_a_task_that_never_reached_its_worker_runs_again_without_a_death():
    s = running()
    s.hub_dies(W)
    assert s.ready(W)[:2] == [CancelTimer(f"rejoin:{W}"), StartTask(W, 1, 0, A2)]
    assert s.state.jobs[1].tasks[0].deaths == 0


def test_a_task_that_never_reached_a_retiring_worker_is_lost():
    s = Script(cpus=4)
    s.ready_mesh(2)
    s.launch(pinned(0, 1))
    s.mesh(1)
    s.hub_dies(W, W + 1)
    why = "there is no worker 1 (the mesh has worker 0)"
    assert s.ready(W + 1) == [
        CancelTimer(f"rejoin:{W + 1}"),
        SettleTask(1, 0, TaskState.LOST, why),
        StopWorker(W + 1),
        TellMesh("s"),
    ]


def test_a_report_may_come_before_the_hello():
    s = running()
    s.hub_dies(W)
    assert s.ok(W, A, 0, 1) == [DeliverItems(1, 0, W, (0, 1)), SettleTask(1, 0, TaskState.DONE)]
    assert s.ready(W, (1, 0, A)) == [CancelTimer(f"rejoin:{W}"), SetTimer(f"idle:{W}", 60.0)]


def test_a_stopping_task_is_interrupted_again():
    s = running()
    s.cancel()
    overdue = f"overdue:{W}:{A}"
    assert s.hub_dies(W) == [SetTimer(f"rejoin:{W}", 10.0), SetTimer(overdue, 2.0), GRACE]
    assert s.ready(W, (1, 0, A)) == [CancelTimer(f"rejoin:{W}"), InterruptTask(W, 1, 0, A)]
    s = running()
    s.cancel()
    s.hub_dies(W)
    assert SettleTask(1, 0, TaskState.CANCELLED, "cancelled") in s.ready(W)


def test_workers_that_died_meanwhile_are_lost():
    s = running(retries=1)
    s.ready_mesh(1)
    text = "worker 0 died while the hub was away; a new worker 0 takes its place"
    again = "a task worker died while the hub was away; what it ran of job 1 (f) runs again elsewhere"
    assert s.hub_dies() == [
        Notify("s", again),
        Notify("s", text),
        StartWorker(W2, "s", 0),
        GRACE,
        StartWorker(W2 + 1, "s", None),
        TellMesh("s"),
    ]
    assert s.state.jobs[1].tasks[0].deaths == 1


def test_a_worker_that_does_not_rejoin_is_killed():
    s = running()
    s.hub_dies(W)
    assert s.fire(f"rejoin:{W}") == [KillWorker(W)]
    why = "a task worker did not come back after the hub's restart"
    assert s.lost(W) == [SettleTask(1, 0, TaskState.LOST, why)]


def test_starting_workers_may_take_their_time_and_kills_are_repeated():
    s = Script()
    s.launch(task())
    assert s.hub_dies(W) == [GRACE]
    assert s.ready(W) == [StartTask(W, 1, 0, A2)]
    s.cancel(force=True)
    assert s.hub_dies(W, epoch=3) == [KillWorker(W), GRACE]


def test_orphans_keep_their_grace_time():
    s = Script(grace=5.0)
    s.leave()
    assert s.hub_dies() == [SetTimer("grace:s", 5.0)]
    s.attach(grace=5.0)
    assert s.hub_dies(epoch=3) == [SetTimer("grace:s", 30.0)]  # time for the kernel to find the new hub


def test_a_setup_run_that_never_came_is_run_again():
    s = Script()
    s.ready_mesh(1)
    s.launch(pinned(0, 0), setup=True)
    s.ok(W, A)
    s.mesh(2)
    s.ready(W + 1)
    s.hub_dies(W, W + 1)
    s.ready(W)
    assert s.ready(W + 1, (1, 0, A + 1)) == [CancelTimer(f"rejoin:{W + 1}"), TellMesh("s")]
    s.hub_dies(W, W + 1, epoch=3)
    s.ready(W)
    resumed = StartTask(W + 1, 1, 0, 3 * 2**40 + 1)
    assert s.ready(W + 1) == [CancelTimer(f"rejoin:{W + 1}"), resumed, TellMesh("s")]


def test_a_machine_may_change_over_a_restart():
    s = Script(cpus=2, gpus=("g0", "g1"))
    s.launch(task(gpus=1000))
    s.ready(W)
    s.launch(task(gpus=2000), job=2)
    s.tell(e.HubStarted(0.0, 2, 1, ("g1",)))
    assert s.state.jobs[2].tasks[0].state is TaskState.LOST
    assert s.state.gpus == {"g1": {}, "g0": {W: 1000}}
    s.lost(W)
    assert s.state.gpus == {"g1": {}}
