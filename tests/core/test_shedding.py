"""The tail of a map: items given back by a busy worker run elsewhere, and the client sees one task."""

from core_script import A, Script, W, over, task

from cellmesh.scheduler.core import commands as c, events as e
from cellmesh.scheduler.core.events import Outcome
from cellmesh.scheduler.core.state import TaskState


def kinds(commands, *wanted):
    return [x for x in commands if isinstance(x, wanted)]


def later(script, seconds=1.0):
    """Some time passes and nothing happens."""
    return script.tell(e.TimerFired(seconds, "shed"))


def give(script, worker, attempt, *items, job=1):
    return script.tell(e.ItemsReported(2.0, worker, job, 0, attempt, (), None, items))


def running(size=8, cpus=2, **options):
    """One task runs on W, and a slot is free."""
    script = Script(cpus=cpus)
    script.launch(task(0, size=size, **options))
    script.ready(W)
    return script


def shared(**options):
    """W has given items 4 to 7 back, and W + 1 runs them."""
    script = running(**options)
    later(script)
    give(script, W, A, 4, 5, 6, 7)
    script.ready(W + 1)
    return script


def test_a_task_that_has_run_for_a_while_is_asked_once_when_a_slot_is_free():
    script = Script(cpus=2)
    script.launch(task(0, size=8))
    assert kinds(script.ready(W), c.SetTimer)[-1] == c.SetTimer("shed", 0.05)
    assert kinds(later(script), c.ShedItems) == [c.ShedItems(W, 1, 0, A)]
    assert kinds(script.report(W, A, 0), c.ShedItems) == []


def test_nobody_is_asked_while_something_waits_for_the_slot():
    script = running(cpus=1)
    assert later(script) == []


def test_what_was_given_back_runs_elsewhere_under_the_same_index():
    script = running()
    later(script)
    assert kinds(give(script, W, A, 4, 5, 6, 7), c.StartWorker)
    (start,) = kinds(script.ready(W + 1), c.StartTask)
    assert (start.job, start.task, start.skip) == (1, 0, (0, 1, 2, 3))
    assert script.ok(W, A, 0, 1, 2, 3)[0] == c.DeliverItems(1, 0, W, (0, 1, 2, 3))
    assert script.state.jobs[1].open_tasks == 1
    commands = script.ok(W + 1, start.attempt, 4, 5, 6, 7)
    assert commands[:2] == [c.DeliverItems(1, 0, W + 1, (0, 1, 2, 3)), c.SettleTask(1, 0, TaskState.DONE)]
    assert script.state.jobs[1].finished
    assert list(script.state.jobs[1].tasks) == [0]
    script.claim()
    assert not script.state.jobs


def test_items_count_only_for_the_piece_that_has_them():
    script = shared()
    attempt = script.state.workers[W + 1].task[1]
    commands = script.report(W, A, 5)
    assert kinds(commands, c.DeliverItems) == []
    commands = script.report(W + 1, script.state.jobs[1].tasks[attempt].attempt, 5, 1)
    assert kinds(commands, c.DeliverItems) == [c.DeliverItems(1, 0, W + 1, (0,))]


def test_who_had_nothing_to_give_is_not_asked_again():
    script = running()
    later(script)
    assert kinds(give(script, W, A), c.StartWorker, c.ShedItems) == []
    assert kinds(script.report(W, A, 0), c.ShedItems) == []


def test_a_claim_on_a_task_in_pieces_is_made_again():
    script = shared()
    script.ok(W, A, 0, 1, 2, 3)
    assert script.claim(tasks=(0,)) == []
    assert script.claim() == []


def test_a_failed_item_in_any_piece_fails_the_task():
    script = shared()
    script.report(W, A, 0, 1, 2, -4, outcome=Outcome.ERROR)
    attempt = _attempt(script)
    assert kinds(script.ok(W + 1, attempt, 4, 5, 6, 7), c.SettleTask) == [
        c.SettleTask(1, 0, TaskState.FAILED)
    ]


def test_cancel_reaches_all_pieces():
    script = shared()
    commands = script.cancel(tasks=(0,))
    assert {x.worker for x in kinds(commands, c.InterruptTask)} == {W, W + 1}
    attempt = _attempt(script)
    assert kinds(script.report(W, A, outcome=Outcome.INTERRUPTED), c.SettleTask) == []
    (end,) = kinds(script.report(W + 1, attempt, outcome=Outcome.INTERRUPTED), c.SettleTask)
    assert (end.task, end.state) == (0, TaskState.CANCELLED)


def test_a_piece_whose_worker_died_is_tried_again_and_then_lost():
    script = shared(retries=1)
    assert kinds(script.lost(W + 1), c.SettleTask) == []
    script.ok(W, A, 0, 1, 2, 3)  # it is free, and tries
    (end,) = kinds(script.lost(W), c.SettleTask)
    assert (end.task, end.state) == (0, TaskState.LOST)
    assert script.state.jobs[1].items_done == 4


def test_a_piece_sheds_too():
    script = shared(cpus=3)
    later(script, 5.0)
    attempt = _attempt(script)
    assert kinds(give(script, W + 1, attempt, 6, 7), c.StartWorker)
    (start,) = kinds(script.ready(W + 2), c.StartTask)
    assert start.skip == (0, 1, 2, 3, 4, 5)


def test_items_returned_by_what_is_being_stopped_are_not_run():
    script = running()
    later(script)
    script.cancel()
    assert kinds(give(script, W, A, 4, 5, 6, 7), c.StartWorker) == []
    (end,) = kinds(script.report(W, A, outcome=Outcome.INTERRUPTED), c.SettleTask)
    assert end.state is TaskState.CANCELLED


def test_the_mesh_shares_items_that_are_pinned_to_no_worker():
    script = Script(cpus=2)
    script.ready_mesh(2)
    script.launch(over(0, size=8))
    assert kinds(later(script), c.ShedItems) == [c.ShedItems(W, 1, 0, A)]
    assert kinds(give(script, W, A, 7), c.StartTask)[0].worker == W + 1


def test_a_hub_that_comes_back_knows_the_pieces():
    script = shared()
    attempt = _attempt(script)
    script.hub_dies(W, W + 1)
    script.ready(W, (1, 0, A))
    script.ready(W + 1, (1, 0, attempt))
    script.ok(W, A, 0, 1, 2, 3)
    assert kinds(script.ok(W + 1, attempt, 4, 5, 6, 7), c.SettleTask) == [c.SettleTask(1, 0, TaskState.DONE)]


def _attempt(script):
    job, key = script.state.workers[W + 1].task
    return script.state.jobs[job].tasks[key].attempt


def test_a_piece_that_runs_out_of_time_ends_the_whole_task_as_timed_out():
    script = shared(timeout=60.0)
    piece = script.state.workers[W + 1].task
    attempt = script.state.jobs[1].tasks[piece[1]].attempt
    script.fire(f"timeout:{W + 1}:{attempt}")
    assert not kinds(script.report(W + 1, attempt, outcome=Outcome.INTERRUPTED), c.SettleTask)
    ended = c.SettleTask(1, 0, TaskState.TIMED_OUT, "timed out after 240 s")
    assert ended in script.ok(W, A, 0, 1, 2, 3)
    assert script.state.jobs[1].finished
