"""Workers that die under their tasks: what is run again, what is lost, and what that costs."""

from core_script import A, Script, W, running, task

from cellmesh.scheduler.core import commands as c
from cellmesh.scheduler.core.commands import (
    LoseItem,
    SettleTask,
    StartTask,
    StartWorker,
)
from cellmesh.scheduler.core.state import TaskState


def test_a_death_costs_a_retry_and_reruns_only_what_was_not_reported():
    s = running(size=3, retries=1)
    s.report(W, A, 0, 2)
    again = "a task worker was killed by SIGKILL; what it ran of job 1 (f) runs again elsewhere"
    assert s.lost(W) == [c.Notify("s", again), StartWorker(W + 1, "s", None)]
    assert s.ready(W + 1) == [StartTask(W + 1, 1, 0, A + 1, (0, 2), True)]
    assert s.ok(W, A, 1) == []
    why = "a task worker was killed by SIGKILL, the last of 2 that died under it"
    assert s.lost(W + 1) == [SettleTask(1, 0, TaskState.LOST, why)]


def test_an_item_that_kills_every_worker_is_lost_and_the_others_go_on():
    s = running(size=4, retries=1)
    s.lost(W)  # nobody knows under which
    s.ready(W + 1)
    why = "a task worker was killed by SIGKILL, the last of 2 that died under it"
    assert s.lost(W + 1, mark=(A + 1, 1))[0] == LoseItem(1, 0, 1, why)
    assert s.ready(W + 2)[-1] == StartTask(W + 2, 1, 0, A + 2, (1,), True)
    s.report(W + 2, A + 2, 0, 2)
    s.lost(W + 2, mark=(A + 2, 3))  # this death is that of item 3, and its first
    assert s.ready(W + 3)[-1] == StartTask(W + 3, 1, 0, A + 3, (0, 1, 2), True)
    s.ok(W + 3, A + 3, 3)
    assert s.state.jobs[1].tasks[0].state is TaskState.FAILED
    assert (s.state.jobs[1].items_done, s.state.jobs[1].items_failed) == (3, 1)


def test_deaths_of_another_item_are_not_held_against_one():
    s = running(size=3, retries=2)
    s.lost(W)
    s.ready(W + 1)
    s.lost(W + 1, mark=(A + 1, 0))
    s.ready(W + 2)
    s.report(W + 2, A + 2, 0)
    s.lost(W + 2, mark=(A + 2, 1))
    assert s.state.jobs[1].tasks[0].deaths == 1
    s.ready(W + 3)
    s.lost(W + 3, mark=(A + 1, 2))  # a mark of another attempt says nothing
    assert s.state.jobs[1].tasks[0].suspect == 1


def test_without_retries_nothing_is_run_again():
    s = running(size=3, retries=0)
    s.report(W, A, 0)
    assert s.lost(W) == [SettleTask(1, 0, TaskState.LOST, "a task worker was killed by SIGKILL")]


def test_stop_on_error_counts_what_killed_its_workers():
    s = Script()
    s.launch(task(size=2, retries=1), stop_on_error=True)
    s.ready(W)
    s.lost(W)
    s.ready(W + 1)
    s.lost(W + 1, mark=(A + 1, 0))
    assert s.state.jobs[1].tasks[0].state is TaskState.CANCELLED
    assert s.state.jobs[1].items_failed == 1


def test_a_retried_task_goes_to_the_front():
    s = Script(cpus=1)
    s.launch(task(0, retries=1), task(1))
    s.ready(W)
    s.lost(W)
    assert s.ready(W + 1) == [StartTask(W + 1, 1, 0, A + 1)]


def test_a_death_after_all_items_is_no_loss():
    s = running(size=2)
    s.report(W, A, 0, 1)
    assert s.lost(W) == [SettleTask(1, 0, TaskState.DONE)]


def test_task_workers_that_die_at_their_start_are_given_up_after_three():
    s = Script()
    s.launch(task())
    assert s.lost(W) == [StartWorker(W + 1, "s", None)]
    assert s.lost(W + 1) == [StartWorker(W + 2, "s", None)]
    why = "3 task workers in a row died while starting"
    assert s.lost(W + 2) == [
        c.Notify("s", f"{why}; see their log"),
        SettleTask(1, 0, TaskState.LOST, why),
    ]
    assert s.launch(task(), job=2) == [StartWorker(W + 3, "s", None)]  # new work tries again
