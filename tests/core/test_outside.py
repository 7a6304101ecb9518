"""Workers that are stopped, continued, or told to end from outside."""

from core_script import A, Script, W, over, pinned, task

from cellmesh.scheduler.core import commands as c
from cellmesh.scheduler.core.state import TaskState


def kinds(commands, *wanted):
    return [x for x in commands if isinstance(x, wanted)]


def busy(**options):
    script = Script(cpus=1)
    script.launch(task(0, **options))
    script.ready(W)
    return script


def test_a_busy_worker_that_stays_stopped_is_replaced_and_its_task_retried():
    script = busy(retries=1)
    (timer,) = [x for x in script.paused(W) if isinstance(x, c.SetTimer)]
    assert timer == c.SetTimer(f"paused:{W}", 5.0)
    assert kinds(script.fire(timer.timer), c.KillWorker) == [c.KillWorker(W)]
    (note,) = kinds(script.lost(W), c.Notify)
    assert "was stopped (SIGSTOP) for 5 s" in note.text
    script.ready(W + 1)
    assert script.state.jobs[1].tasks[0].worker == W + 1


def test_one_that_goes_on_in_time_is_left_alone():
    script = busy()
    script.paused(W)
    assert c.CancelTimer(f"paused:{W}") in script.paused(W, False)
    assert script.fire(f"paused:{W}") == []
    assert c.SettleTask(1, 0, TaskState.DONE) in script.ok(W, A)


def test_a_task_that_ended_just_before_the_stop_frees_no_worker_for_others():
    script = busy()
    script.paused(W)
    commands = script.ok(W, A)
    assert kinds(commands, c.KillWorker) == [c.KillWorker(W)]
    assert script.launch(task(0), job=2)[-1] == c.StartWorker(W + 1, "s", None, ())


def test_an_idle_mesh_worker_is_only_replaced_when_it_is_needed():
    script = Script(cpus=2)
    script.ready_mesh(2)
    assert kinds(script.paused(W), c.SetTimer) == []
    assert kinds(script.launch(over(0)), c.StartTask)[0].worker == W + 1
    assert kinds(script.launch(pinned(0, 0), job=2), c.SetTimer) == [c.SetTimer(f"paused:{W}", 5.0)]
    assert kinds(script.paused(W, False), c.StartTask)[0].worker == W
    script.ok(W, A + 1, job=2)
    script.paused(W)
    script.launch(pinned(0, 0), job=3)
    assert kinds(script.fire(f"paused:{W}"), c.KillWorker) == [c.KillWorker(W)]


def test_a_stopped_worker_is_killed_where_others_are_asked_to_end():
    script = Script()
    script.ready_mesh(1)
    script.paused(W)
    assert kinds(script.mesh(0), c.KillWorker, c.StopWorker) == [c.KillWorker(W)]


def test_what_was_told_to_end_finishes_and_its_number_goes_to_a_new_worker():
    script = Script(cpus=2)
    script.ready_mesh(1)
    script.launch(over(0))
    assert kinds(script.drains(W), c.SetTimer) == [c.SetTimer(f"drain:{W}", 30.0)]
    script.launch(pinned(0, 0), job=2)
    commands = script.ok(W, A)
    assert kinds(commands, c.SettleTask, c.StopWorker, c.StartWorker) == [
        c.SettleTask(1, 0, TaskState.DONE),
        c.StopWorker(W),
        c.StartWorker(W + 1, "s", 0, ()),
    ]
    (note,) = kinds(commands, c.Notify)
    assert note.text.startswith("worker 0 was told to end (SIGTERM); a new worker 0 takes its place")
    assert kinds(script.ready(W + 1), c.StartTask)[0].job == 2


def test_an_idle_worker_that_was_told_to_end_ends():
    script = busy()
    script.ok(W, A)
    assert kinds(script.drains(W), c.StopWorker) == [c.StopWorker(W)]


def test_what_does_not_end_in_time_is_moved_and_that_is_no_retry():
    script = busy(retries=1)
    for turn in range(3):
        script.drains(W + turn)
        assert kinds(script.fire(f"drain:{W + turn}"), c.KillWorker) == [c.KillWorker(W + turn)]
        script.lost(W + turn)
        script.ready(W + turn + 1)
    assert script.state.jobs[1].tasks[0].deaths == 0
    assert script.state.jobs[1].tasks[0].state is TaskState.RUNNING


def test_what_is_never_run_twice_is_lost_with_its_worker():
    script = busy()
    script.drains(W)
    script.fire(f"drain:{W}")
    (end,) = kinds(script.lost(W), c.SettleTask)
    assert end.state is TaskState.LOST
    assert "was told to end (SIGTERM)" in end.why


def test_a_hub_that_comes_back_gives_its_word_time_again():
    script = busy()
    script.drains(W)
    script.paused(W)
    assert c.SetTimer(f"drain:{W}", 30.0) in script.hub_dies(W)
    assert kinds(script.paused(W), c.SetTimer) == [c.SetTimer(f"paused:{W}", 5.0)]
    script.paused(W, False)
    script.ready(W, (1, 0, A))
    assert c.StopWorker(W) in script.ok(W, A)
