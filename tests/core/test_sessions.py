"""Sessions come, wait for their kernel, are reset and end; slots are shared between them."""

from core_script import A, Script, W, over, pinned, task

from cellmesh.scheduler.core.commands import (
    CancelTimer,
    EndHub,
    ForgetSession,
    ForgetTasks,
    KillWorker,
    SetTimer,
    SettleTask,
    StartTask,
    StartWorker,
    StopWorker,
    TellMesh,
)
from cellmesh.scheduler.core.events import ResultsClaimed
from cellmesh.scheduler.core.state import TaskState


def test_a_kernel_returns_within_the_grace_time():
    s = Script()
    s.ready_mesh(1)
    assert s.leave() == [SetTimer("grace:s", 600.0)]
    assert s.attach(client="kernel 2") == [CancelTimer("grace:s"), TellMesh("s")]
    assert s.leave() == []  # the news of the first kernel's end comes late
    assert s.state.sessions["s"].client == "kernel 2"


def test_an_orphaned_sessions_job_goes_on():
    s = Script()
    s.launch(task(), task(1))
    s.ready(W)
    s.leave()
    assert StartTask(W, 1, 1, A + 1) in s.ok(W, A)


def test_an_orphaned_job_takes_no_more_tasks_and_is_over_when_its_last_one_is():
    s = Script()
    s.launch(task(), last=False)
    s.ready(W)
    s.leave()
    s.ok(W, A)
    assert s.state.jobs[1].finished
    assert ForgetTasks(1, None) in s.tell(ResultsClaimed(0.0, 1, (0,)))


def test_the_grace_time_ends_the_session_and_the_hub():
    s = Script()
    s.launch(task(), task(1), task(2))
    s.ready(W)
    s.leave()
    why = "the session ended"
    assert s.fire("grace:s") == [
        SettleTask(1, 0, TaskState.CANCELLED, why),
        SettleTask(1, 1, TaskState.CANCELLED, why),
        SettleTask(1, 2, TaskState.CANCELLED, why),
        KillWorker(W),
        KillWorker(W + 1),
        ForgetSession("s"),
    ]
    assert s.lost(W) == []
    assert s.lost(W + 1) == [EndHub()]


def test_a_script_ends_at_once():
    s = Script(grace=0)
    assert s.leave() == [ForgetSession("s"), EndHub()]


def test_an_ended_session_may_come_back_before_its_workers_are_gone():
    s = Script(gpus=("g0",))
    s.ready_mesh(1, gpus=1)
    assert s.end() == [StopWorker(W), ForgetSession("s")]
    s.attach()
    assert s.mesh(1, gpus=1) == [TellMesh("s")]
    assert s.lost(W, "ended") == [StartWorker(W + 1, "s", 0, ("g0",)), TellMesh("s")]


def test_reset_forgets_everything_but_the_meshs_size():
    s = Script(cpus=4)
    s.ready_mesh(1)
    s.launch(pinned(0, 0), setup=True)
    s.launch(pinned(0, 0), job=2)
    s.launch(task(), job=3)
    s.ready(W + 1)
    why = "the session was reset"
    assert s.reset() == [
        SettleTask(1, 0, TaskState.CANCELLED, why),
        SettleTask(2, 0, TaskState.CANCELLED, why),
        SettleTask(3, 0, TaskState.CANCELLED, why),
        ForgetTasks(1, None),
        ForgetTasks(2, None),
        ForgetTasks(3, None),
        KillWorker(W),
        KillWorker(W + 1),
        StartWorker(W + 2, "s", 0),
        TellMesh("s"),
    ]
    assert s.ready(W + 2) == [TellMesh("s")]  # no setup left


def test_slots_are_shared_max_min_fair():
    s = Script(cpus=4)
    s.attach("t")
    s.launch(*[task(i) for i in range(8)])
    for worker in range(W, W + 4):
        s.ready(worker)
    s.launch(*[task(i) for i in range(8)], job=2, session="t")
    for worker in range(W + 4, W + 8):
        assert s.ready(worker) == [SetTimer(f"idle:{worker}", 60.0)]  # no preemption
    for n in range(2):  # each slot that comes free goes to who has fewer
        assert StartTask(W + 7 - n, 2, n, A + 4 + n) in s.ok(W + n, A + n, index=n)
    sessions = s.state.sessions
    assert (sessions["s"].running, sessions["t"].running) == (2000, 2000)
    s.ok(W + 2, A + 2, index=2)  # at a tie, who was served longer ago
    assert (sessions["s"].running, sessions["t"].running) == (2000, 2000)


def test_neither_mesh_nor_pool_starves_beside_pinned_tasks():
    s = Script(cpus=1)
    s.ready_mesh(1)
    s.launch(*[pinned(i, 0) for i in range(20)])
    s.launch(over(0), task(1), job=2)
    s.ready(W + 1)
    started = []
    for _ in range(22):
        worker = next(w for w in s.state.workers.values() if w.task)
        job, index = worker.task
        started.append((job, index))
        s.ok(worker.id, s.state.jobs[job].tasks[index].attempt, job=job, index=index)
    assert started.index((2, 0)) < 10
    assert started.index((2, 1)) < 10
    assert [index for job, index in started if job == 1] == list(range(20))


def test_what_was_claimed_of_an_endless_job_is_remembered_as_one_number():
    s = Script(cpus=1)
    s.launch(task(0), last=False)
    s.ready(W)
    for index in range(100):
        s.submit(task(index + 1), last=False)
        s.ok(W, A + index, index=index)
        s.claim(tasks=(index,))
    job = s.state.jobs[1]
    assert (job.through, job.claimed, list(job.tasks)) == (100, set(), [100])
    assert s.submit(task(7), last=False) == []  # sent again
    assert list(job.tasks) == [100]
