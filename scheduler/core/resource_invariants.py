"""What must hold of cores, memory and devices after every event.

Owns the sums (what is counted as taken is what is taken) and the promise that nobody waits beside what it
could have. Never called in production. Read next: `invariants.py`, which calls it.
"""

from .events import ONE, TaskSpec
from .state import Session, State, TaskState


def check(state: State) -> None:
    """Raise AssertionError with the broken sentence."""
    _check_sums(state)
    _check_devices(state)
    _check_line(state)


def _check_sums(state: State) -> None:
    tasks = [task for job in state.jobs.values() for task in job.tasks.values()]
    cpus = dict.fromkeys(state.sessions, 0)
    memory = 0
    hosting = dict.fromkeys(state.sessions, 0)
    for actor in state.actors.values():
        hosting[actor.session] += actor.cpus
        memory += actor.memory
        assert 0 <= actor.cpus <= actor.spec.cpus, f"it takes what it asked for: {actor}"
        assert 0 <= actor.memory <= actor.spec.memory, f"it takes what it asked for: {actor}"
        whole = actor.cpus == actor.spec.cpus and actor.memory == actor.spec.memory
        assert whole or actor.worker is None, f"its process has all that it asked for: {actor}"
    gather = [state.actors[each] for each in state.homeless if state.actors[each].incarnation == 0]
    assert sum(bool(actor.cpus or actor.memory) for actor in gather) <= 1, "one gathers at a time"
    for worker in state.workers.values():
        if worker.task is not None:
            job, index = worker.task
            assert worker.takes is state.jobs[job].tasks[index].spec, f"what its task takes: {worker}"
        assert (worker.takes is None) == (worker.task is None and worker.setup_run is None), "what runs takes"
        if worker.takes is not None and not worker.waits:
            assert worker.session in cpus, "only living sessions hold slots"
            cpus[worker.session] += worker.takes.cpus
            memory += worker.takes.memory
    for session in state.sessions.values():
        cpus[session.id] += hosting[session.id]
        assert session.hosting == hosting[session.id], "session.hosting is what its actors have"
    assert state.slots_used == sum(cpus.values()), "slots_used: what is at work and does not wait"
    for session in state.sessions.values():
        assert session.running == cpus[session.id], "session.running is its share of the slots"
    assert state.memory_used == memory, "memory_used is what was promised to what is at work"
    riders = sum(task.state is TaskState.QUEUED and not task.spec.cpus for task in tasks)
    assert state.free_riders == riders, "free_riders counts the queued tasks that take no core"


def _check_devices(state: State) -> None:
    for worker in state.workers.values():
        part = 0 < worker.share < ONE
        count, each = (1, worker.share) if part else (worker.share // ONE, ONE)
        assert len(worker.gpus) == count, f"its devices are its share: {worker}"
        for device in worker.gpus:
            assert state.gpus[device][worker.id] == each, f"it holds them: {worker}"
    for device, shares in state.gpus.items():
        assert sum(shares.values()) <= ONE, f"no device is promised for more than one: {device}"
        for holder in shares:
            assert device in state.workers[holder].gpus, f"a device and its holder agree: {device}"
        assert shares or device not in state.gone_gpus, "devices that are gone are forgotten once free"


def _check_line(state: State) -> None:
    """What fits has started, unless it would take from who is first in line."""
    cpus, memory = state.cpus - state.slots_used, state.memory - state.memory_used
    kept = [TaskSpec(0, cpus=0)]
    if state.first_in_line is not None:
        assert state.first_in_line in state.sessions, "who is first in line is there"
        waiting = _next(state, state.sessions[state.first_in_line])
        kept = [spec for spec in waiting if not _fits(spec, cpus, memory)] or kept
    # Which of them it is depends on whose turn it is in the session; one of them it is.
    beside = [_beside(state, cpus - spec.cpus, memory - spec.memory) for spec in kept]
    assert None in beside, f"nobody waits beside an idle worker and what it takes: {beside[0]}"


def _beside(state: State, cpus: int, memory: int) -> tuple[TaskSpec, str] | None:
    """Something that waits though it would fit."""
    for session in state.sessions.values():
        for spec in _next(state, session):
            if _fits(spec, cpus, memory):
                return spec, session.id
    return None


def _fits(spec: TaskSpec, cpus: int, memory: int) -> bool:
    return (not spec.cpus or spec.cpus <= cpus) and (not spec.memory or spec.memory <= memory)


def _next(state: State, session: Session) -> list[TaskSpec]:
    """What the session would run next on workers that are idle."""
    queues = [lane for shape in session.shapes.values() if shape.idle for lane in shape.lanes.values()]
    if session.idle_mesh:
        queues.append(session.ready_mesh)
    setup = [number for number in session.own_work if state.workers[session.mesh[number]].setup]
    queues += [session.ready_pinned[number] for number in session.own_work if number not in setup]
    return [TaskSpec(0) for _ in setup] + [queue.tasks()[0].spec for queue in queues if queue.live]
