"""Tasks that submit tasks: lent slots, who ends with whom, and how deep it may go."""

from core_script import A, Script, W, over, task

from cellmesh.scheduler.core import commands as c
from cellmesh.scheduler.core.events import Outcome
from cellmesh.scheduler.core.nesting import DEEPEST
from cellmesh.scheduler.core.state import TaskState, WorkerState


def starts(commands):
    return [(x.worker, x.job, x.task) for x in commands if isinstance(x, c.StartTask)]


def new_workers(commands):
    return [x.worker for x in commands if isinstance(x, c.StartWorker)]


def interrupted(commands):
    return [(x.job, x.task) for x in commands if isinstance(x, c.InterruptTask)]


def settled(commands):
    return {(x.job, x.task): x.state for x in commands if isinstance(x, c.SettleTask)}


def one_core_parent():
    """Job 1 has run its task 0 on the only slot; job 2 is its child and waits."""
    script = Script(cpus=1)
    script.launch(task(0, retries=1), task(1))
    script.ready(W)
    script.launch(task(0), job=2, parent=(1, 0))
    return script


def test_a_parent_that_waits_lends_its_only_slot_and_the_child_goes_before_its_siblings():
    script = one_core_parent()
    assert new_workers(script.waits(W, A)) == [W + 1]
    assert starts(script.ready(W + 1)) == [(W + 1, 2, 0)]
    assert starts(script.ok(W + 1, A + 1, job=2)) == [(W + 1, 1, 1)]  # the sibling has the slot meanwhile
    assert script.state.slots_used == 1000
    assert starts(script.waits(W, A, False)) == []
    assert script.state.slots_used == 2000  # paid back as soon as one of them ends
    assert new_workers(script.launch(task(0), job=3)) == []
    assert starts(script.ok(W + 1, A + 2, index=1)) == []
    assert starts(script.ok(W, A)) == [(W, 3, 0)]


def test_a_parent_may_end_while_it_waits():
    script = one_core_parent()
    script.waits(W, A)
    script.ready(W + 1)
    script.ok(W, A)
    assert script.state.slots_used == 1000
    assert script.state.jobs[1].tasks[0].state is TaskState.DONE
    assert script.state.jobs[2].tasks[0].state is TaskState.RUNNING


def test_word_of_an_earlier_attempt_says_nothing():
    script = one_core_parent()
    script.waits(W, A - 1)
    assert script.state.slots_used == 1000
    script.waits(W, A)
    script.waits(W, A)
    assert script.state.slots_used == 0
    script.lost(W)
    script.waits(W, A, False)
    assert script.state.slots_used == 0


def test_a_cell_on_a_mesh_worker_lends_too():
    script = Script(cpus=1)
    script.ready_mesh(1)
    script.launch(over(0))
    script.launch(task(0), job=2, parent=(1, 0))
    script.waits(W, A)
    assert starts(script.ready(W + 1)) == [(W + 1, 2, 0)]
    script.ok(W + 1, A + 1, job=2)
    script.waits(W, A, False)
    assert settled(script.ok(W, A)) == {(1, 0): "done"}


def test_what_a_task_submits_cannot_wait_for_the_mesh():
    script = one_core_parent()
    script.mesh(1)
    (end,) = [x for x in script.launch(over(0), job=3, parent=(1, 0)) if isinstance(x, c.SettleTask)]
    assert end.state == "lost"
    assert "cm.submit" in end.why


def test_cancelling_a_job_cancels_what_its_tasks_submitted_all_the_way_down():
    script = Script(cpus=3)
    script.launch(task(0))
    script.ready(W)
    script.launch(task(0), job=2, parent=(1, 0))
    script.ready(W + 1)
    script.launch(task(0), task(1), task(2), job=3, parent=(2, 0))
    script.ready(W + 2)
    # One after the other: a child that ended first would look to its parent like a failure.
    assert interrupted(script.cancel()) == [(1, 0)]
    assert interrupted(script.report(W, A, outcome=Outcome.INTERRUPTED)) == [(2, 0)]
    commands = script.report(W + 1, A + 1, job=2, outcome=Outcome.INTERRUPTED)
    assert interrupted(commands) == [(3, 0), (3, 1)]
    assert settled(commands) == {(2, 0): "cancelled", (3, 2): "cancelled"}


def test_a_parent_that_ends_well_all_the_same_keeps_its_children():
    script = one_core_parent()
    script.waits(W, A)
    script.ready(W + 1)
    script.cancel()
    script.ok(W, A)
    assert script.state.jobs[2].tasks[0].state is TaskState.RUNNING


def test_children_go_with_a_parents_worker_and_are_made_anew_by_its_next_attempt():
    script = one_core_parent()
    commands = script.lost(W)
    assert settled(commands) == {(2, 0): "cancelled"}
    assert script.state.jobs[1].tasks[0].state is TaskState.QUEUED
    commands = script.open(3, parent=(1, 0))
    assert [x.why for x in commands if isinstance(x, c.RefuseJob)] == [
        "the task that submitted it was stopped"
    ]
    script.ready(W + 1)
    assert not [x for x in script.open(4, parent=(1, 0)) if isinstance(x, c.RefuseJob)]


def test_what_nobody_waits_for_is_forgotten_when_its_opener_is_gone():
    script = one_core_parent()
    script.launch(task(0), job=3)
    script.waits(W, A)
    script.ready(W + 1)
    commands = script.abandon(2, 3, 99)
    assert [x.job for x in commands if isinstance(x, c.ForgetTasks)] == [3]
    commands = script.report(W + 1, A + 1, job=2, outcome=Outcome.INTERRUPTED)
    assert [type(x) for x in commands if getattr(x, "job", 0) == 2] == [c.SettleTask, c.ForgetTasks]
    assert list(script.state.jobs) == [1]
    assert not script.state.nested


def test_a_recursion_without_end_is_refused():
    script = Script(cpus=1)
    script.launch(task(0))
    script.ready(W)
    for level in range(1, DEEPEST + 1):
        script.launch(task(0), job=level + 1, parent=(level, 0))
        script.waits(W + level - 1, A + level - 1, job=level)
        script.ready(W + level)
    (refusal,) = [x for x in script.open(100, parent=(DEEPEST + 1, 0)) if isinstance(x, c.RefuseJob)]
    assert f"more than {DEEPEST} levels" in refusal.why
    assert script.state.jobs[DEEPEST + 1].number == 1  # to people it is all job 1


def test_a_hub_that_comes_back_knows_who_waits():
    script = one_core_parent()
    script.waits(W, A)
    script.ready(W + 1)
    script.hub_dies(W, W + 1)
    assert script.state.slots_used == 1000
    script.ready(W, (1, 0, A))
    script.ready(W + 1, (2, 0, A + 1))
    assert script.state.workers[W].state is WorkerState.BUSY
    assert script.state.slots_used == 1000
    script.ok(W + 1, A + 1, job=2)
    script.waits(W, A, False)
    script.ok(W, A)
    assert script.state.jobs[1].tasks[0].state is TaskState.DONE


def test_a_lost_order_to_run_a_parent_leaves_no_lent_slot():
    script = one_core_parent()
    script.waits(W, A)
    script.hub_dies(W)
    script.lost(W + 1)
    commands = script.ready(W)  # it holds nothing: the parent starts anew, its child is gone
    assert settled(commands) == {(2, 0): "cancelled"}
    assert starts(commands)[0] == (W, 1, 0)
    assert script.state.slots_used == 1000


def test_a_kernels_death_leaves_a_running_parents_jobs_open():
    script = one_core_parent()
    script.launch(task(0), job=3, parent=(1, 0), last=False)
    script.leave()
    assert not script.state.jobs[3].sealed
