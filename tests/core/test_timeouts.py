"""The time of one run: its timer, its end, what does not follow from it."""

from core_script import A, Script, W, task

from cellmesh.scheduler.core.commands import (
    CancelTimer,
    InterruptTask,
    KillWorker,
    SetTimer,
    SettleTask,
    StartTask,
)
from cellmesh.scheduler.core.events import Outcome
from cellmesh.scheduler.core.state import TaskState

TIMER = f"timeout:{W}:{A}"
OVERDUE = f"overdue:{W}:{A}"
OVER = SettleTask(1, 0, TaskState.TIMED_OUT, "timed out after 60 s")


def running(*others, **options):
    """A script in which worker W runs task 0, which has a minute an item."""
    s = Script(cpus=1)
    s.launch(task(timeout=60.0, **options), *others)
    assert SetTimer(TIMER, 60.0 * options.get("size", 1)) in s.ready(W)
    return s


def test_a_run_that_is_over_in_time_takes_its_timer_with_it():
    s = running()
    assert CancelTimer(TIMER) in s.ok(W, A)
    assert s.fire(TIMER) == []


def test_a_run_out_of_time_is_interrupted_and_its_worker_goes_on():
    s = running(task(1), retries=3)
    assert s.fire(TIMER) == [InterruptTask(W, 1, 0, A), SetTimer(OVERDUE, 2.0)]
    ended = s.report(W, A, outcome=Outcome.INTERRUPTED)
    assert OVER in ended
    assert StartTask(W, 1, 1, A + 1) in ended
    assert not s.state.workers[W].expired


def test_one_that_does_not_yield_loses_its_worker_and_is_not_retried():
    s = running(retries=3)
    s.fire(TIMER)
    assert s.fire(OVERDUE) == [KillWorker(W)]
    assert s.lost(W) == [OVER]


def test_what_it_still_brings_counts():
    s = running()
    s.fire(TIMER)
    assert SettleTask(1, 0, TaskState.DONE) in s.ok(W, A)
    s = running()
    s.fire(TIMER)
    assert SettleTask(1, 0, TaskState.FAILED) in s.report(W, A, outcome=Outcome.ERROR)


def test_each_item_has_its_time_and_reported_ones_need_none():
    s = running(size=3, retries=1)
    s.report(W, A, 0)
    s.lost(W)
    assert SetTimer(f"timeout:{W + 1}:{A + 1}", 120.0) in s.ready(W + 1)
    s.fire(f"timeout:{W + 1}:{A + 1}")
    over = SettleTask(1, 0, TaskState.TIMED_OUT, "timed out after 120 s")
    assert over in s.report(W + 1, A + 1, outcome=Outcome.INTERRUPTED)


def test_siblings_go_on_unless_the_job_stops_on_its_first_error():
    s = running(task(1))
    s.fire(TIMER)
    s.report(W, A, outcome=Outcome.INTERRUPTED)
    assert s.state.jobs[1].tasks[1].state is TaskState.RUNNING
    s = Script(cpus=1)
    s.launch(task(timeout=60.0), task(1), stop_on_error=True)
    s.ready(W)
    s.fire(TIMER)
    stopped = SettleTask(1, 1, TaskState.CANCELLED, "an earlier item failed")
    assert stopped in s.report(W, A, outcome=Outcome.INTERRUPTED)


def test_a_cancelled_run_has_no_timer_left_to_tell_of():
    s = running()
    s.cancel()
    s.fire(TIMER)
    cancelled = SettleTask(1, 0, TaskState.CANCELLED, "cancelled")
    assert cancelled in s.report(W, A, outcome=Outcome.INTERRUPTED)


def test_the_time_counts_anew_when_the_hub_comes_back():
    s = running()
    assert SetTimer(TIMER, 60.0) in s.hub_dies(W)
    s.ready(W, (1, 0, A))
    s.fire(TIMER)
    assert OVER in s.report(W, A, outcome=Outcome.INTERRUPTED)
