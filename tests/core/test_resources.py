"""What tasks take: cores, memory, shares of GPUs; who waits for whom; priorities."""

import pytest
from core_script import A, Script, W, over, pinned, task

from cellmesh.scheduler.core.commands import Notify, SettleTask, StartTask, StartWorker, StopWorker
from cellmesh.scheduler.core.state import TaskState

GB = 10**9


def pool(workers, **machine):
    """A script whose session has idle task workers W, W + 1, …"""
    s = Script(**machine)
    s.launch(*[task(i) for i in range(workers)])
    for n in range(workers):
        s.ready(W + n)
    for n in range(workers):
        s.ok(W + n, A + n, index=n)
    return s


def started(commands):
    """(job, task) of what was started."""
    return [(command.job, command.task) for command in commands if isinstance(command, StartTask)]


def finish(s, job, index):
    """The task reports that it is done; what starts then."""
    ended = s.state.jobs[job].tasks[index]
    return started(s.ok(ended.worker, ended.attempt, *range(ended.spec.size), job=job, index=index))


def test_a_task_of_two_cores_takes_two_slots():
    s = pool(2)
    assert started(s.launch(task(0, cpus=2000), task(1, cpus=2000), job=2)) == [(2, 0)]
    assert s.state.slots_used == 2000
    assert finish(s, 2, 0) == [(2, 1)]


def test_a_wide_task_is_not_overtaken_by_narrow_ones():
    s = pool(2)
    assert started(s.launch(task(0), task(1), job=2)) == [(2, 0), (2, 1)]
    s.launch(task(0, cpus=2000), job=3)
    s.launch(*[task(i) for i in range(4)], job=4)
    finish(s, 2, 0)
    order = finish(s, 2, 1)
    while (3, 0) not in order:  # one narrow task may have its turn first
        running = [t for t in s.state.jobs[4].tasks.values() if t.state is TaskState.RUNNING]
        order += finish(s, 4, running[0].spec.index)
    assert len(order) <= 2


def test_another_notebook_does_not_overtake_a_wide_task_either():
    s = pool(2)
    s.attach("t")
    s.launch(task(0), task(1), job=2)
    s.launch(*[task(i) for i in range(9)], job=3, session="t")
    for worker in [w.id for w in s.state.workers.values() if w.session == "t"]:
        s.ready(worker)
    s.launch(task(0, cpus=2000), job=4)
    order = []
    while s.state.jobs[4].tasks[0].state is TaskState.QUEUED:
        task_ = next(
            t for j in s.state.jobs.values() for t in j.tasks.values() if t.state is TaskState.RUNNING
        )
        order += finish(s, task_.job, task_.spec.index)
    assert len([each for each in order if each[0] == 3]) <= 3


def test_what_leaves_it_room_runs_beside_who_is_first_in_line():
    s = pool(4, cpus=4, memory=10 * GB)
    assert started(s.launch(task(0, memory=8 * GB), task(1, memory=8 * GB), job=2)) == [(2, 0)]
    assert s.state.first_in_line == "s"
    assert started(s.launch(task(0), task(1), task(2), job=3)) == [(3, 0), (3, 1)]  # one core is kept
    assert started(s.launch(task(0, memory=1 * GB), job=4)) == []
    assert finish(s, 2, 0) == [(2, 1), (3, 2)]


def test_a_task_that_takes_no_core_runs_beside_full_slots():
    s = pool(1, cpus=1)
    s.launch(task(0), task(1), job=2)
    assert StartWorker(W + 1, "s", None) in s.launch(task(0, cpus=0), job=3)
    assert started(s.ready(W + 1)) == [(3, 0)]
    assert s.state.slots_used == 1000


def test_tasks_of_half_a_core_run_two_a_core():
    s = Script(cpus=1)
    launched = s.launch(*[task(i, cpus=500) for i in range(9)])
    assert [type(command) for command in launched] == [StartWorker, StartWorker]
    assert started(s.ready(W)) == [(1, 0)]
    assert started(s.ready(W + 1)) == [(1, 1)]


def test_what_can_never_be_met_is_told_with_what_there_is():
    s = Script(cpus=2, gpus=("g0", "g1"), memory=24 * GB)
    s.open()
    wanted = [
        (task(0, gpus=3000), "needs 3 GPUs; this machine has 2"),
        (task(1, memory=64 * GB), "needs 64.0 GB of memory; this machine has 24.0 GB"),
        (task(2, cpus=8000), "needs 8 cores; the pool has 2"),
        (over(3, cpus=2500), "needs 2.5 cores; the pool has 2"),
        (task(4, gpus=1500), "gpus=1.5: a task takes a part of one GPU (like 0.5) or whole ones (1, 2, ...)"),
    ]
    for spec, why in wanted:
        assert s.submit(spec, last=False) == [SettleTask(1, spec.index, TaskState.LOST, why)]


def test_parts_fill_one_device_before_they_open_another():
    s = Script(cpus=4, gpus=("g0", "g1"))
    assert s.launch(*[task(i, gpus=500) for i in range(2)]) == [
        StartWorker(W, "s", None, ("g0",)),
        StartWorker(W + 1, "s", None, ("g0",)),
    ]
    assert s.launch(task(gpus=1000), job=2) == [StartWorker(W + 2, "s", None, ("g1",))]


def test_a_device_is_never_promised_for_more_than_one():
    s = Script(cpus=4, gpus=("g0",))
    assert s.launch(*[task(i, gpus=400) for i in range(3)]) == [
        StartWorker(W, "s", None, ("g0",)),
        StartWorker(W + 1, "s", None, ("g0",)),
    ]
    assert s.launch(task(gpus=1000), job=2) == [Notify("s", "waiting for 1 GPU, held by s.ipynb")]
    s.ready(W)
    s.ready(W + 1)
    s.ok(W, A, index=0)
    s.ok(W, A + 2, index=2)  # it is idle now; alone, its part would be no use to who needs a whole one
    ended = s.ok(W + 1, A + 1, index=1)
    assert [command for command in ended if isinstance(command, StopWorker)] == [
        StopWorker(W),
        StopWorker(W + 1),
    ]
    assert s.lost(W, "ended") == []
    assert s.lost(W + 1, "ended") == [StartWorker(W + 2, "s", None, ("g0",))]


def test_the_higher_priority_is_served_first():
    s = pool(1, cpus=1)
    s.launch(task(0), job=2)
    s.launch(task(0), task(1), job=3)
    s.launch(task(0, priority=-1), task(1, priority=5), task(2, priority=5), job=4)
    order = []
    ended = (2, 0)
    while ended:
        (ended,) = finish(s, *ended) or [None]
        order.append(ended)
    assert order == [(4, 1), (4, 2), (3, 0), (3, 1), (4, 0), None]


def test_priorities_hold_between_kinds_of_task_and_on_the_mesh():
    s = pool(1, cpus=1, memory=GB)
    s.launch(task(0), job=2)
    s.launch(task(0), job=3)
    s.launch(task(0, memory=5, priority=1), job=4)
    assert finish(s, 2, 0) == [(4, 0)]
    assert finish(s, 4, 0) == [(3, 0)]
    s = Script(cpus=1)
    s.ready_mesh(1)
    s.launch(pinned(0, 0), last=False)
    s.submit(pinned(1, 0), pinned(2, 0, priority=1))
    assert finish(s, 1, 0) == [(1, 2)]
    assert finish(s, 1, 2) == [(1, 1)]


def test_who_was_first_in_line_keeps_nothing_free_once_its_worker_has_other_work():
    s = Script(cpus=3, memory=4)
    s.ready_mesh(2)
    s.launch(task(), job=1)
    s.ready(W + 2)
    s.ok(W + 2, A)
    s.launch(pinned(0, 0, memory=3), job=2)
    assert started(s.launch(pinned(0, 1, memory=2), over(1), task(2), job=3)) == [(3, 1), (3, 2)]


def two_notebooks(idle, cpus):
    """Notebook s has so many idle task workers; t holds every core, and most of the memory for longer."""
    s = pool(idle, cpus=cpus, memory=4)
    s.attach("t")
    s.launch(task(0, cpus=1000 * cpus), task(1, cpus=0, memory=3), job=2, session="t")
    for worker in [w.id for w in s.state.workers.values() if w.session == "t"]:
        s.ready(worker)
    assert s.state.memory_used == 3
    assert s.state.slots_used == s.state.cpus
    return s


def test_a_task_of_its_own_notebook_may_take_the_worker_of_who_is_first_in_line():
    s = two_notebooks(1, cpus=2)
    s.launch(task(0, memory=2, priority=1), task(1), job=3)
    s.launch(task(0), job=4, session="t")
    assert finish(s, 2, 0) == [(3, 1), (4, 0)]  # no core is kept for a task that has no worker
    assert s.state.first_in_line is None
    finish(s, 2, 1)
    assert finish(s, 3, 1) == [(3, 0)]


def test_who_did_not_fit_beside_what_was_kept_is_asked_again_when_it_is_free():
    s = two_notebooks(2, cpus=3)
    s.launch(task(0, memory=2, priority=1), task(1), task(2, cpus=500), job=3)
    s.launch(task(0, cpus=1500), job=4, session="t")
    assert finish(s, 2, 0) == [(3, 1), (3, 2), (4, 0)]


def test_so_may_a_pinned_task_if_who_is_first_in_line_waits_for_any_mesh_worker():
    s = two_notebooks(3, cpus=3)
    s.ready_mesh(1)
    s.launch(over(0, memory=2), pinned(1, 0), job=3)
    s.launch(task(0, cpus=2000), job=4, session="t")
    assert s.state.sessions["s"].served == 3  # the fourth dispatch takes the opposite order
    assert finish(s, 2, 0) == [(3, 1), (4, 0)]


def rounds(s, count):
    """So many tasks of one core end, one after the other as they began; which these were."""
    tasks = [(job.id, index) for job in s.state.jobs.values() for index in job.tasks]
    running = [each for each in tasks if s.state.jobs[each[0]].tasks[each[1]].state is TaskState.RUNNING]
    running.remove((2, 0))  # takes no core
    order = []
    while len(order) < count:
        order.append(running.pop(0))
        running += finish(s, *order[-1])
    assert s.state.first_in_line == "s", "the memory is not free yet"
    assert len(running) == 1, "a core is kept"
    return [job for job, _ in order]


def waits_for_memory():
    """Of two cores one is kept for a task of notebook s, as t has the memory; t runs one more task."""
    s = pool(2, memory=4)
    s.attach("t")
    s.launch(task(0, cpus=0, memory=3), task(1), job=2, session="t")
    for worker in [w.id for w in s.state.workers.values() if w.session == "t"]:
        s.ready(worker)
    s.launch(task(0, memory=2, priority=1), job=3)
    return s


@pytest.mark.parametrize("notebook", ["s", "t"])
def test_pinned_tasks_and_the_pool_take_turns_while_somebody_is_first_in_line(notebook):
    s = waits_for_memory()
    s.ready_mesh(1, session=notebook)
    s.launch(*[pinned(i, 0) for i in range(20)], job=4, session=notebook)
    s.launch(*[task(i) for i in range(20)], job=5, session=notebook)
    assert {*rounds(s, 20)[-8:]} == {4, 5}


def test_notebooks_take_turns_while_a_task_of_one_is_first_in_line():
    s = waits_for_memory()
    s.launch(*[task(i) for i in range(20)], job=4)
    s.launch(*[task(i) for i in range(20)], job=5, session="t")
    assert sorted(rounds(s, 20)[-8:]) == [4, 4, 4, 4, 5, 5, 5, 5]
