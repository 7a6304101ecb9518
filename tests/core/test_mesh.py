"""Mesh workers: scaled, stopped, replaced, set up; pinned tasks."""

from core_script import A, Script, W, over, pinned, task

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
from cellmesh.scheduler.core.events import Outcome
from cellmesh.scheduler.core.state import TaskState


def busy_mesh(size=2, **options):
    """A script in which worker 0 (W) runs a pinned task."""
    s = Script(cpus=4)
    s.ready_mesh(size)
    s.launch(pinned(0, 0, **options))
    return s


def test_a_mesh_starts_grows_and_shrinks():
    s = Script(cpus=4)
    assert s.mesh(2) == [StartWorker(W, "s", 0), StartWorker(W + 1, "s", 1), TellMesh("s")]
    assert s.ready(W) == [TellMesh("s")]
    assert s.mesh(3) == [StartWorker(W + 2, "s", 2), TellMesh("s")]
    assert s.mesh(1) == [KillWorker(W + 1), KillWorker(W + 2), TellMesh("s")]
    assert s.lost(W + 2) == []
    assert s.mesh(0) == [StopWorker(W), TellMesh("s")]


def test_busy_workers_retire_and_what_waits_for_them_is_lost():
    s = Script(cpus=4)
    s.ready_mesh(2)
    s.launch(pinned(0, 1), pinned(1, 1))
    assert s.mesh(1) == [
        SettleTask(1, 1, TaskState.LOST, "worker 1 was removed by %mesh scale"),
        TellMesh("s"),
    ]
    assert s.ok(W + 1, A) == [
        DeliverItems(1, 0, W + 1, (0,)),
        SettleTask(1, 0, TaskState.DONE),
        StopWorker(W + 1),
        TellMesh("s"),
    ]


def test_a_retiring_worker_stays_if_the_mesh_grows_again():
    s = Script(cpus=4)
    s.ready_mesh(2)
    s.launch(pinned(0, 1))
    s.mesh(1)
    assert s.mesh(2) == [TellMesh("s")]
    assert s.ok(W + 1, A)[-1] == SettleTask(1, 0, TaskState.DONE)


def test_a_retiring_worker_that_dies_is_not_replaced():
    s = Script(cpus=4)
    s.ready_mesh(2)
    s.launch(pinned(0, 1, retries=3))
    s.mesh(1)
    lost = SettleTask(1, 0, TaskState.LOST, "worker 1 was killed by SIGKILL")
    assert s.lost(W + 1) == [lost, TellMesh("s")]


def test_stopping_the_mesh_loses_its_tasks():
    s = Script(cpus=4)
    s.ready_mesh(1)
    s.launch(pinned(0, 0, retries=3), pinned(1, 0), over(2))
    why = "the mesh was stopped"
    assert s.mesh(0) == [
        SettleTask(1, 1, TaskState.LOST, why),
        SettleTask(1, 2, TaskState.LOST, why),
        SettleTask(1, 0, TaskState.LOST, why),
        KillWorker(W),
        TellMesh("s"),
    ]
    assert s.ok(W, A) == []
    assert s.lost(W) == []


def test_a_dead_worker_is_replaced():
    s = busy_mesh()
    text = "worker 0 was killed by SIGKILL; a new worker 0 takes its place, without its variables"
    assert s.lost(W) == [
        SettleTask(1, 0, TaskState.LOST, "worker 0 was killed by SIGKILL"),
        Notify("s", text),
        StartWorker(W + 2, "s", 0),
        TellMesh("s"),
    ]
    assert s.state.workers[W + 2].fresh


def test_a_pinned_task_with_retries_runs_on_the_replacement():
    s = busy_mesh(retries=1)
    s.lost(W)
    assert s.ready(W + 2) == [StartTask(W + 2, 1, 0, A + 1), TellMesh("s")]


def test_a_number_whose_workers_die_at_their_start_is_left_out():
    s = Script(cpus=4)
    s.mesh(2)
    s.launch(pinned(0, 0), over(1))
    s.lost(W)
    s.lost(W + 2)
    assert s.lost(W + 3) == [
        Notify(
            "s",
            "worker 0 was killed by SIGKILL 3 times in a row while starting and is left out; "
            "%mesh start tries again",
        ),
        SettleTask(1, 0, TaskState.LOST, "worker 0 cannot start: it was killed by SIGKILL"),
        TellMesh("s"),
    ]
    why = "worker 0 cannot start: it was killed by SIGKILL"
    assert s.launch(pinned(0, 0), job=2) == [SettleTask(2, 0, TaskState.LOST, why)]
    assert s.ready(W + 1) == [StartTask(W + 1, 1, 1, A), TellMesh("s")]  # the others work
    assert s.mesh(2) == [StartWorker(W + 4, "s", 0), TellMesh("s")]


def test_stop_in_a_cell_that_waits_for_a_stubborn_worker_replaces_it():
    s = busy_mesh()
    s.launch(pinned(0, 0), job=2)
    assert s.cancel(1) == [InterruptTask(W, 1, 0, A), SetTimer(f"overdue:{W}:{A}", 2.0)]
    assert s.cancel(2) == [
        SettleTask(2, 0, TaskState.CANCELLED, "cancelled"),
        CancelTimer(f"overdue:{W}:{A}"),
        KillWorker(W),
    ]
    assert s.lost(W) == [
        SettleTask(1, 0, TaskState.CANCELLED, "worker 0 did not stop"),
        Notify("s", "worker 0 did not stop; a new worker 0 takes its place, without its variables"),
        StartWorker(W + 2, "s", 0),
        TellMesh("s"),
    ]


def test_a_job_queued_behind_itself_is_given_its_two_seconds():
    s = Script(cpus=4)
    s.ready_mesh(1)
    s.launch(pinned(0, 0), pinned(1, 0))
    assert s.cancel() == [
        SettleTask(1, 1, TaskState.CANCELLED, "cancelled"),
        InterruptTask(W, 1, 0, A),
        SetTimer(f"overdue:{W}:{A}", 2.0),
    ]


def set_up():
    """A mesh of one worker on which a setup job (1) has run."""
    s = Script(cpus=4)
    s.ready_mesh(1)
    s.launch(pinned(0, 0), setup=True)
    s.ok(W, A)
    return s


def test_a_new_worker_runs_setup_before_anything_else():
    s = set_up()
    assert s.lost(W)[0] == Notify(
        "s",
        "worker 0 was killed by SIGKILL; a new worker 0 takes its place, without its variables; "
        "its setup cells run again",
    )
    s.launch(pinned(0, 0), over(1), job=2)
    assert s.ready(W + 1) == [StartTask(W + 1, 1, 0, A + 1), TellMesh("s")]
    assert s.state.slots_used == 1000
    assert s.ok(W + 1, A + 1) == [StartTask(W + 1, 2, 0, A + 2)]


def test_a_setup_cell_that_fails_is_told():
    s = set_up()
    s.mesh(2)
    s.ready(W + 1)
    assert s.report(W + 1, A + 1, outcome=Outcome.ERROR) == [
        Notify("s", "the setup cell of job 1 failed on the new worker 1")
    ]
    assert s.state.sessions["s"].idle_mesh == {0: W, 1: W + 1}


def test_setup_jobs_are_kept_when_claimed():
    s = set_up()
    assert s.claim() == []
    assert 1 in s.state.jobs


def test_a_worker_that_dies_of_its_setup_is_not_replaced_for_ever():
    s = set_up()
    s.lost(W)
    for worker in (W + 1, W + 2):
        s.ready(worker)
        s.lost(worker)
    s.ready(W + 3)
    assert [type(command) for command in s.lost(W + 3)] == [Notify, TellMesh]


def test_a_worker_born_while_the_setup_job_ran_runs_it_when_it_is_over():
    s = Script(cpus=4)
    s.ready_mesh(2)
    s.launch(pinned(0, 0), pinned(1, 1), setup=True)
    s.lost(W)
    assert s.ready(W + 2) == [TellMesh("s")]
    assert s.ok(W + 1, A + 1, index=1)[-1] == StartTask(W + 2, 1, 0, A + 2)


def test_other_gpus_mean_fresh_workers():
    s = Script(cpus=4, gpus=("g0", "g1"))
    s.ready_mesh(1)
    s.launch(pinned(0, 0))
    assert s.mesh(1, gpus=1) == [
        KillWorker(W),
        SettleTask(1, 0, TaskState.LOST, "worker 0 was replaced by %mesh start with 1 GPU a worker"),
        StartWorker(W + 1, "s", 0, ("g0",)),
        TellMesh("s"),
    ]


def test_more_gpus_than_there_are_start_nothing():
    s = Script(gpus=("g0",))
    text = "2 mesh workers with 1 GPU each need 2 GPUs; this machine has 1"
    assert s.mesh(2, gpus=1) == [Notify("s", text)]
    assert s.state.sessions["s"].mesh_size == 0


def test_a_mesh_waits_for_gpus_that_others_hold():
    s = Script(cpus=4, gpus=("g0", "g1"))
    s.attach("t")
    s.ready_mesh(1, gpus=1)
    assert s.mesh(2, gpus=1, session="t") == [
        StartWorker(W + 1, "t", 0, ("g1",)),
        Notify("t", "1 mesh worker will start when GPUs come free; they are held by s.ipynb"),
        TellMesh("t"),
    ]
    assert s.mesh(0) == [StopWorker(W), TellMesh("s")]
    assert s.lost(W, "ended") == [StartWorker(W + 2, "t", 1, ("g0",)), TellMesh("t")]


def test_an_idle_task_worker_gives_its_gpu_to_who_waits():
    s = Script(cpus=4, gpus=("g0",))
    s.attach("t")
    s.launch(task(0, gpus=1000))
    s.ready(W)
    waiting = "waiting for 1 GPU, held by s.ipynb"
    assert s.launch(task(0, gpus=1000), job=2, session="t") == [Notify("t", waiting)]
    assert s.ok(W, A)[-1] == StopWorker(W)
    assert s.lost(W, "ended") == [StartWorker(W + 1, "t", None, ("g0",))]


def test_a_gpu_mesh_worker_is_replaced_when_its_device_is_free():
    s = Script(cpus=4, gpus=("g0",))
    s.ready_mesh(1, gpus=1)
    assert s.reset() == [KillWorker(W), TellMesh("s")]
    assert s.lost(W) == [StartWorker(W + 1, "s", 0, ("g0",)), TellMesh("s")]
