"""Jobs on the task pool: submit, report, cancel, claim, retry."""

import copy

from core_script import A, Script, W, over, pinned, running, task

from cellmesh.scheduler.core import commands as c, events as e
from cellmesh.scheduler.core.commands import (
    DeliverItems,
    ForgetTasks,
    SettleTask,
    StartTask,
    StartWorker,
)
from cellmesh.scheduler.core.events import Outcome
from cellmesh.scheduler.core.state import TaskState


def test_a_task_is_submitted_run_and_settled():
    s = Script()
    assert s.launch(task()) == [StartWorker(W, "s", None)]
    assert s.ready(W) == [StartTask(W, 1, 0, A)]
    assert s.ok(W, A) == [
        DeliverItems(1, 0, W, (0,)),
        SettleTask(1, 0, TaskState.DONE),
        c.SetTimer(f"idle:{W}", 60.0),
    ]


def test_an_idle_worker_takes_work_at_once_and_is_reaped_when_it_has_none():
    s = running()
    s.ok(W, A)
    assert s.launch(task(), job=2) == [c.CancelTimer(f"idle:{W}"), StartTask(W, 2, 0, A + 1)]
    s.ok(W, A + 1, job=2)
    assert s.fire(f"idle:{W}") == [c.StopWorker(W)]
    assert s.fire(f"idle:{W}") == []
    assert s.lost(W, "ended") == []


def test_task_workers_are_no_more_than_slots_or_tasks():
    s = Script(cpus=2)
    assert s.launch(task()) == [StartWorker(W, "s", None)]
    assert s.launch(task(), task(1), task(2), job=2) == [StartWorker(W + 1, "s", None)]


def test_workers_are_added_when_slots_come_free():
    s = Script(cpus=3)
    s.attach("t")
    s.launch(*[task(i) for i in range(3)])
    s.launch(task(), job=2, session="t")
    s.ready(W + 3)  # t's first worker, and the only slot that is taken
    for worker in range(W, W + 3):
        s.ready(worker)
    s.ok(W + 3, A, job=2)  # s has the slots now
    assert s.state.slots_used == 3000
    waits = [c.SetTimer("waiting:t", 5.0)]
    assert s.launch(*[task(i) for i in range(3)], job=3, session="t") == waits  # an idle worker is there
    started = s.ok(W, A + 1)
    assert StartTask(W + 3, 3, 0, A + 4) in started
    assert StartWorker(W + 4, "t", None) in started


def test_a_queue_of_cancelled_tasks_keeps_nothing():
    s = Script(cpus=1)
    s.launch(*[task(i) for i in range(5)])
    s.cancel()
    (lane,) = s.state.sessions["s"].shapes[0].lanes.values()
    assert not lane.entries


def test_items_stream_and_are_delivered_once():
    s = running(size=3)
    assert s.report(W, A, 1) == [DeliverItems(1, 0, W, (0,))]
    assert s.report(W, A, 1, 0) == [DeliverItems(1, 0, W, (1,))]
    assert s.report(W, A, 1, 7) == []
    assert s.ok(W, A, 2)[:2] == [DeliverItems(1, 0, W, (0,)), SettleTask(1, 0, TaskState.DONE)]


def test_failures():
    s = running(size=2)
    assert s.ok(W, A, 0, -2)[:2] == [DeliverItems(1, 0, W, (0, 1)), SettleTask(1, 0, TaskState.FAILED)]
    s = running()
    assert s.report(W, A, outcome=Outcome.ERROR)[0] == SettleTask(1, 0, TaskState.FAILED)
    s = running()  # the user's code raised KeyboardInterrupt by itself
    assert s.report(W, A, outcome=Outcome.INTERRUPTED)[0] == SettleTask(1, 0, TaskState.FAILED)


def test_late_reports_are_ignored():
    s = running()
    assert s.ok(W, A - 1) == []
    assert s.ok(W + 7, A) == []
    assert s.ok(W, A, job=9) == []
    s.ok(W, A)
    assert s.ok(W, A) == []


def test_cancel_of_queued_and_running_tasks():
    s = Script(cpus=1)
    s.launch(task(), task(1))
    s.ready(W)
    assert s.cancel() == [
        SettleTask(1, 1, TaskState.CANCELLED, "cancelled"),
        c.InterruptTask(W, 1, 0, A),
        c.SetTimer(f"overdue:{W}:{A}", 2.0),
    ]
    assert s.state.jobs[1].cancelled
    assert s.cancel() == []
    assert s.report(W, A, outcome=Outcome.INTERRUPTED) == [
        c.CancelTimer(f"overdue:{W}:{A}"),
        SettleTask(1, 0, TaskState.CANCELLED, "cancelled"),
        c.SetTimer(f"idle:{W}", 60.0),
    ]
    assert s.cancel() == []
    assert s.submit(task(2)) == [SettleTask(1, 2, TaskState.CANCELLED, "cancelled")]


def test_a_cancel_of_what_is_queued_leaves_what_runs():
    s = Script(cpus=1)
    s.launch(task(), task(1))
    s.ready(W)
    assert s.cancel(tasks=(0, 1), queued=True) == [SettleTask(1, 1, TaskState.CANCELLED, "cancelled")]
    assert s.ok(W, A, 0)[:2] == [DeliverItems(1, 0, W, (0,)), SettleTask(1, 0, TaskState.DONE)]
    s = Script(cpus=1)
    s.launch(task(), task(1), last=False)
    s.ready(W)
    assert s.cancel(queued=True) == [SettleTask(1, 1, TaskState.CANCELLED, "cancelled")]
    assert s.submit(task(2)) == [SettleTask(1, 2, TaskState.CANCELLED, "cancelled")]
    assert s.ok(W, A, 0)[:2] == [DeliverItems(1, 0, W, (0,)), SettleTask(1, 0, TaskState.DONE)]


def test_what_finishes_while_it_stops_is_done():
    s = running()
    s.cancel()
    assert s.ok(W, A)[2] == SettleTask(1, 0, TaskState.DONE)


def test_an_overdue_worker_is_killed():
    s = running()
    s.cancel()
    assert s.fire(f"overdue:{W}:{A}") == [c.KillWorker(W)]
    assert s.lost(W) == [SettleTask(1, 0, TaskState.CANCELLED, "a task worker did not stop")]


def test_force_kills_at_once_also_what_is_stopping():
    s = running()
    assert s.cancel(force=True) == [c.KillWorker(W)]
    s = running()
    s.cancel(tasks=(0,))
    assert s.cancel(tasks=(0,), force=True) == [c.CancelTimer(f"overdue:{W}:{A}"), c.KillWorker(W)]


def test_stop_on_error_cancels_the_others():
    s = Script(cpus=2)
    s.launch(task(0, size=2), task(1), task(2), last=False, stop_on_error=True)
    s.ready(W)
    s.ready(W + 1)
    assert s.report(W, A, -1) == [
        DeliverItems(1, 0, W, (0,)),
        SettleTask(1, 2, TaskState.CANCELLED, "an earlier item failed"),
        c.InterruptTask(W + 1, 1, 1, A + 1),
        c.SetTimer(f"overdue:{W + 1}:{A + 1}", 2.0),
    ]
    assert s.submit(task(3)) == [SettleTask(1, 3, TaskState.CANCELLED, "an earlier item failed")]
    assert not s.state.jobs[1].cancelled


def test_events_sent_again_are_ignored_item_by_item():
    s = running()
    assert s.open() == []
    assert s.submit(task()) == []
    assert s.submit(task(), task(1)) == [StartWorker(W + 1, "s", None)]


def test_an_id_that_another_job_has_is_refused_to_who_asks_and_that_job_goes_on():
    s = running()
    s.attach("t", client="other")
    before = copy.deepcopy(s.state.jobs[1])
    refusal = c.RefuseJob(1, "another job has this id", taken="other")
    assert s.tell(e.JobOpened(0.0, 1, "t", "map", "g", client="other")) == [refusal]
    refusal = c.RefuseJob(1, "another job has this id", taken="kernel of s")
    assert s.tell(e.JobOpened(0.0, 1, "s", "cell", "g", client="kernel of s")) == [refusal]
    assert s.state.jobs[1] == before
    assert c.SettleTask(1, 0, TaskState.DONE) in s.ok(W, A)


def test_jobs_without_a_home_are_refused():
    s = Script()
    assert s.open(session="t") == [c.RefuseJob(1, "the hub does not know this session")]
    refusal = c.RefuseJob(1, "the hub does not know this job (was the session reset?)")
    assert s.submit(task()) == [refusal]


def test_what_can_never_run_is_lost_at_once():
    s = Script(gpus=("g0",))
    s.open()
    assert s.submit(task(0, gpus=2000), over(1), last=False) == [
        SettleTask(1, 0, TaskState.LOST, "needs 2 GPUs; this machine has 1"),
        SettleTask(1, 1, TaskState.LOST, "no mesh workers: start them with %mesh start"),
    ]
    s.mesh(2)
    assert s.submit(pinned(2, 7)) == [
        SettleTask(1, 2, TaskState.LOST, "there is no worker 7 (the mesh has workers 0-1)")
    ]


def test_claims():
    s = Script(cpus=2)
    s.launch(task(), task(1))
    s.ready(W)
    s.ready(W + 1)
    assert s.claim(tasks=(0,)) == []
    s.ok(W, A)
    assert s.claim(tasks=(0, 1)) == [ForgetTasks(1, (0,))]
    assert s.submit(task()) == []  # sent again, it stays forgotten
    s.ok(W + 1, A + 1, index=1)
    assert s.claim() == [ForgetTasks(1, None)]
    assert not s.state.jobs
    s.open(2)
    s.submit(job=2)
    assert s.claim(2) == [ForgetTasks(2, None)]


def test_a_job_claimed_before_its_last_word_is_forgotten_with_it():
    s = Script()
    s.launch(task(), last=False)
    s.ready(W)
    s.ok(W, A)
    assert s.claim(tasks=(0,)) == [ForgetTasks(1, (0,))]
    assert s.submit() == [ForgetTasks(1, None)]


def test_strangers_are_sent_away():
    s = Script()
    assert s.ready(77) == [c.KillWorker(77)]
    assert s.lost(77) == []
    assert s.fire("idle:77") == []
    assert s.cancel(5) == []
    assert s.claim(5) == []
