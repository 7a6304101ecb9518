"""What must hold after every event.

One thing is not asked here: that no more cores and memory are used than there are. It holds but for a hub
that came back to a smaller machine than its living workers use, so the tests' world asks it.

Owns `check`, which tests call after each event of each history. Never called in production: it walks
everything. Read next: `resource_invariants.py`, `story.py`.
"""

from . import actor_invariants, resource_invariants
from .actors import DETACHED
from .events import Pool
from .nesting import DEEPEST
from .pieces import pieces_of
from .queues import rank_of
from .state import TERMINAL, Job, Session, State, Task, TaskQueue, TaskState, WorkerState
from .tasks import queue_of
from .workers import is_needed

_AT_WORK = (TaskState.RUNNING, TaskState.STOPPING)
_UNHEARD = (TaskState.QUEUED, TaskState.CANCELLED, TaskState.TIMED_OUT, TaskState.LOST)


def check(state: State) -> None:
    """Raise AssertionError with the broken sentence."""
    resource_invariants.check(state)
    actor_invariants.check(state)
    _check_pairs(state)
    for job in state.jobs.values():
        _check_job(state, job)
    for session in state.sessions.values():
        _check_queues(state, session)
        _check_mesh(state, session)
        _check_shapes(state, session)
    _check_nesting(state)
    _check_pieces(state)
    _check_timers(state)


def _tasks(state: State) -> list[Task]:
    return [task for job in state.jobs.values() for task in job.tasks.values()]


def _check_pairs(state: State) -> None:
    for task in _tasks(state):
        assert (task.worker is not None) == (task.state in _AT_WORK), (
            f"a worker exactly while at work: {task}"
        )
        if task.worker is not None:
            worker = state.workers[task.worker]
            assert worker.task == (task.job, task.spec.index), f"the worker of a task knows it: {task}"
            assert worker.session == state.jobs[task.job].session, "processes belong to one session"
            assert (task.spec.pool is Pool.MESH) == (worker.number is not None), "each pool its workers"
            if task.spec.worker is not None and task.spec.pool is Pool.MESH:
                assert worker.number == task.spec.worker, "pinned tasks run where they are pinned"
            if worker.number is None:
                assert worker.share == task.spec.gpus, "a task's worker holds what the task wants"
    for worker in state.workers.values():
        if worker.task is not None:
            job, index = worker.task
            assert state.jobs[job].tasks[index].worker == worker.id, (
                f"the task of a worker knows it: {worker}"
            )
            assert worker.setup_run is None, "a worker does one thing at a time"
        if worker.state is WorkerState.BUSY:
            assert (worker.task or worker.setup_run or worker.actor) is not None, (
                f"a busy worker has work: {worker}"
            )
        if worker.state is WorkerState.IDLE:
            assert worker.task is None, f"an idle worker has none: {worker}"
            assert worker.setup_run is None, f"an idle worker has none: {worker}"
        if worker.state is WorkerState.ENDING:
            assert worker.setup_run is None, "a setup run ends with its worker"
        else:
            assert worker.session in state.sessions, f"workers of ended sessions are ending: {worker}"
        assert (worker.setup_run is None) == (worker.setup_attempt == 0), "a setup run has an attempt"
        assert not worker.waits or (worker.task or worker.setup_run) is not None, "who waits has work"


def _check_job(state: State, job: Job) -> None:
    tasks = job.tasks.values()
    assert job.session in state.sessions, "jobs belong to living sessions"
    assert job.id in state.sessions[job.session].jobs, "the session knows its job"
    assert job.open_tasks == sum(task.state not in TERMINAL for task in tasks), "open_tasks counts"
    assert job.running == sum(task.state in _AT_WORK for task in tasks), "running counts"
    assert not job.claimed & set(job.tasks), "claimed tasks are forgotten"
    assert not any(0 <= index < job.through for index in job.tasks), "claimed tasks are forgotten"
    assert job.through not in job.claimed, "what is claimed in order is one number"
    assert job.sealed or not job.halted, "a halted job takes no more tasks"
    sums = (
        sum(task.spec.size for task in tasks if task.of is None),
        sum(task.reported.bit_count() - task.failed_items for task in tasks),
        sum(task.failed_items for task in tasks),
    )
    counts = (job.items, job.items_done, job.items_failed)
    if job.claimed or job.through:
        assert all(a >= b for a, b in zip(counts, sums, strict=True)), "items count, claimed ones included"
    else:
        assert counts == sums, "items count"
    assert job.items_done + job.items_failed <= job.items, "no item is delivered twice"
    if job.halted:
        waiting = [task for task in tasks if task.state is TaskState.QUEUED]
        assert not waiting, "nothing of a halted job waits"


def _check_queues(state: State, session: Session) -> None:
    where: dict[tuple[int, int], TaskQueue] = {}

    def visit(name: object, queue: TaskQueue) -> None:
        live = queue.tasks()
        assert queue.live == len(live), f"live counts the entries that are not stale: {name}"
        for task in live:
            key = (task.job, task.spec.index)
            assert state.jobs[task.job].tasks[task.spec.index] is task, "entries are the tasks themselves"
            assert key not in where, f"a queued task waits in one place: {task}"
            where[key] = queue
        ranks = [rank_of(task.spec, state.jobs[task.job].depth) for task in live]
        assert ranks == sorted(ranks, reverse=True), f"the higher rank comes first: {name}"

    for gpus, shape in session.shapes.items():
        for kind, lane in shape.lanes.items():
            visit((Pool.TASK, gpus, kind), lane)
        assert shape.waiting == sum(lane.live for lane in shape.lanes.values()), "waiting counts the lanes"
    for number, queue in session.ready_pinned.items():
        visit((Pool.MESH, number), queue)
    visit((Pool.MESH, None), session.ready_mesh)
    for job_id in session.jobs:
        for index, task in state.jobs[job_id].tasks.items():
            if task.state is TaskState.QUEUED:
                place = where.pop((job_id, index), None)
                assert place is queue_of(session, task.spec), f"it waits in its place: {task}"
    assert not where, "only this session's tasks wait here"
    for number, queue in session.ready_pinned.items():
        if queue.live:
            assert number < session.mesh_size, f"nothing waits for the removed worker {number}"
            assert number not in session.broken, f"nothing waits for the broken worker {number}"
    assert session.mesh_size or not session.ready_mesh.live, "nothing waits for a stopped mesh"


def _check_mesh(state: State, session: Session) -> None:
    for number, worker_id in session.mesh.items():
        worker = state.workers[worker_id]
        assert worker.number == number, "workers stand for their own number"
        assert worker.session == session.id, "and for their own session"
        assert worker.retire == (number >= session.mesh_size), (
            f"beyond the mesh's size, they retire: {worker}"
        )
        assert number not in session.broken, f"who stands for a number, has started: {worker}"
        resting = worker.state is WorkerState.IDLE
        assert (number in session.paused) == (resting and worker.paused), "paused lists the stopped"
        idle = resting and not worker.paused
        assert (number in session.idle_mesh) == (idle and not worker.setup), "idle_mesh lists the free"
        pinned = session.ready_pinned.get(number)
        own = idle and (bool(worker.setup) or (pinned is not None and pinned.live > 0))
        assert (number in session.own_work) == own, f"own_work lists whom own work awaits: {worker}"
    listed = {*session.idle_mesh, *session.own_work, *session.paused}
    assert listed <= set(session.mesh), "only existing numbers"
    for number in range(session.mesh_size):
        there = number in session.mesh or number in session.broken or session.id in state.gpu_waiting
        assert there, f"worker {number} exists, is given up or waits for devices"
    for worker in state.workers.values():
        if worker.session != session.id or worker.number is None or worker.state is WorkerState.ENDING:
            continue
        assert session.mesh.get(worker.number) == worker.id, f"no stray mesh workers: {worker}"


def _check_shapes(state: State, session: Session) -> None:
    own = [
        w for w in state.workers.values() if w.session == session.id and w.number is None and w.actor is None
    ]
    alive = [worker for worker in own if worker.state is not WorkerState.ENDING]
    for gpus, shape in session.shapes.items():
        of_kind = [worker for worker in alive if worker.share == gpus]
        assert shape.live == len(of_kind), "live counts the workers that are not ending"
        assert shape.busy == sum(worker.task is not None for worker in of_kind), (
            "busy counts those with a task"
        )
        assert shape.lent == sum(worker.waits for worker in of_kind), "lent counts those that wait"
        idle = sorted(worker.id for worker in of_kind if worker.state is WorkerState.IDLE)
        assert sorted(shape.idle) == idle, "idle lists the idle"
        if shape.waiting and shape.live == shape.lent:
            assert session.id in state.gpu_waiting, "who waits has workers that go on, or waits for devices"


def _check_nesting(state: State) -> None:
    for job in state.jobs.values():
        if job.parent is not None:
            assert job.id in state.nested[job.parent], f"a task knows its jobs: {job.parent}"
        assert (job.parent is None) == (job.depth == 0), "who has a parent is deeper"
    for parent, children in state.nested.items():
        assert children, "only tasks with jobs are listed"
        above = state.jobs.get(parent[0])
        task = None if above is None else above.tasks.get(parent[1])
        for child in children:
            job = state.jobs[child]
            assert job.parent == parent, "jobs know their parents"
            if above is not None:
                assert job.depth == above.depth + 1 <= DEEPEST, "one deeper than its parent"
                assert job.number == above.number, "people know it by its parent's number"
            if task is not None and task.state in _UNHEARD:
                assert job.halted or job.finished, "nothing outlives a parent that was stopped"


def _check_pieces(state: State) -> None:
    for worker_id in state.many:
        worker = state.workers[worker_id]
        assert worker.takes is not None, f"who can give items back, runs some: {worker}"
        assert worker.takes.size > 1, f"who can give items back, runs some: {worker}"
    for job in state.jobs.values():
        for key, task in job.tasks.items():
            assert key == task.spec.index, "a job knows its tasks by their indices"
            assert not task.reported & task.given, f"what a task gave away it does not report: {task}"
            assert (task.of is None) == (key >= 0), "pieces have indices of their own"
            if task.of is not None:
                assert key in state.splits[job.id, task.of].pieces, "a split task knows its pieces"
            elif task.given:
                assert (job.id, key) in state.splits, f"what it gave away is with its pieces: {task}"
    for (job_id, index), split in state.splits.items():
        pieces = pieces_of(state, state.jobs[job_id], index)
        assert split.open == sum(task.state not in TERMINAL for task in pieces) > 0, "open counts"
        everything = (1 << pieces[0].spec.size) - 1
        shares = [everything & ~task.given for task in pieces]
        assert sum(share.bit_count() for share in shares) == pieces[0].spec.size, "each item is one piece's"
        assert all(shares), "each piece has items"


def _check_timers(state: State) -> None:
    for timer in state.timers:
        kind, _, rest = timer.partition(":")
        if kind == "shed":
            continue  # it may come when there is nothing to be had any more
        if kind == "elsewhere":
            assert rest in state.elsewhere, f"{timer}: it was asked for again"
            continue
        if kind in ("grace", "waiting"):
            assert any(session.id == rest for session in state.sessions.values()), f"{timer}: no such session"
            continue
        name, _, attempt = rest.partition(":")
        worker = next((w for w in state.workers.values() if str(w.id) == name), None)
        assert worker is not None, f"{timer}: its worker is gone"
        if kind == "idle":
            assert worker.state is WorkerState.IDLE, f"{timer}: not idle"
            assert worker.number is None, f"{timer}: mesh workers are never reaped"
        elif kind == "ending":
            assert worker.state is WorkerState.ENDING, f"{timer}: it was not told to end"
        elif kind == "rejoin":
            assert worker.state is WorkerState.STARTING, f"{timer}: its hello is not awaited"
        elif kind == "paused":
            assert worker.paused, f"{timer}: it is not stopped"
            assert worker.state is not WorkerState.ENDING, f"{timer}: it is ending"
        elif kind == "drain":
            assert worker.draining, f"{timer}: it was not told to end"
            assert worker.state is not WorkerState.ENDING, f"{timer}: it is ending"
        elif kind == "timeout":
            assert worker.task is not None, f"{timer}: its task is over"
            task = state.jobs[worker.task[0]].tasks[worker.task[1]]
            assert task.spec.timeout, f"{timer}: it has no limit"
            assert str(task.attempt) == attempt, f"{timer}: another attempt"
        else:
            assert kind == "overdue", timer
            assert worker.task is not None, f"{timer}: its task is over"
            task = state.jobs[worker.task[0]].tasks[worker.task[1]]
            assert task.state is TaskState.STOPPING, f"{timer}: not stopping"
            assert str(task.attempt) == attempt, f"{timer}: another attempt"
    for session in state.sessions.values():
        timed = f"grace:{session.id}" in state.timers
        assert session.client is not None or session.id == DETACHED or timed, "orphans have their time"
    kept = dict.fromkeys(state.sessions, 0)
    for worker in state.workers.values():
        idle = worker.state is WorkerState.IDLE and worker.number is None
        if worker.task is not None and worker.state is not WorkerState.ENDING:
            task = state.jobs[worker.task[0]].tasks[worker.task[1]]
            timed = f"timeout:{worker.id}:{task.attempt}" in state.timers
            limited = task.spec.timeout > 0 and task.state is TaskState.RUNNING
            assert timed or not limited, f"a run with a limit has its timer: {task}"
            assert not worker.expired or task.state is TaskState.STOPPING, f"what has expired stops: {task}"
        else:
            assert not worker.expired or worker.task is not None, f"who has expired has a task: {worker}"
        if idle and f"idle:{worker.id}" not in state.timers:
            kept[worker.session] += 1
            assert not worker.share, f"idle workers with GPUs are reaped: {worker}"
        assert not idle or not worker.paused, f"a stopped task worker is no use: {worker}"
        if worker.state is WorkerState.ENDING:
            continue
        if worker.draining:
            assert worker.state is not WorkerState.IDLE, f"who is to end, ends when it is idle: {worker}"
            assert f"drain:{worker.id}" in state.timers, f"and has its time: {worker}"
        if worker.paused and is_needed(state.sessions[worker.session], worker):
            assert f"paused:{worker.id}" in state.timers, f"who is needed and stopped, has its time: {worker}"
    assert max(kept.values(), default=0) <= state.min_workers, "only so many idle ones are kept"
