"""A simulated world around a core: fake workers, a wire that reorders, timers, a hub that dies.

Owns the rule that `check` runs after every event. Never decides what happens next: `core_histories.py` does.
Read next: `core_books.py`, `core_processes.py`.
"""

from dataclasses import replace

from core_books import Books
from core_processes import Process, runs_of

from cellmesh.scheduler.core import commands as c, events as e
from cellmesh.scheduler.core.actor_events import ActorEndAsked, ActorUp
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.events import Outcome
from cellmesh.scheduler.core.invariants import check
from cellmesh.scheduler.core.replay import dump, load, replay
from cellmesh.scheduler.core.state import TaskState


class World:
    def __init__(self, cpus=2, gpus=(), memory=0, least=0, most=0):
        self.core = Core()
        self.history = []
        self.now = 0.0
        self.epoch = 1
        self.processes = {}
        self.opened_by = {}  # job -> process of the task that opened it
        self.left = []  # jobs whose opener is gone; the hub has not said so yet
        self.wire = []  # messages of workers, not yet received
        self.timers = set()
        self.elsewhere = set()  # devices that another hub holds
        self.books = Books()
        self.ended = False
        self.tell(e.HubStarted(self.now, 1, cpus, tuple(gpus), memory, least, most))

    @property
    def state(self):
        return self.core.state

    def tell(self, event, execute=True):
        """Feed an event; `execute=False`: the hub dies before it acts (its journal has the event)."""
        self.now += 0.01
        event = replace(event, at=self.now)
        self.history.append(event)
        over, queues = self.over(), self._queues()
        commands = self.core.handle(event)
        check(self.state)
        # `check` cannot ask: a restart may bring a smaller machine. Only a task that goes on after a wait
        # takes what is not there, and nothing starts that takes of it until that is paid back.
        if not (isinstance(event, e.TaskWaiting) and not event.waits):
            assert all(now <= before for now, before in zip(self.over(), over, strict=True))
        for command in commands:
            if isinstance(command, c.StartTask) and self.state.workers[command.worker].task is not None:
                spec = self.state.jobs[command.job].tasks[command.task].spec
                assert not (spec.cpus and self.over()[0])
                assert not (spec.memory and self.over()[1])
        self._prove_order(queues)
        for command in commands:
            self.books.take(command, event)
            if execute:
                self._execute(command)
        return commands

    def over(self):
        """By how much more cores and memory are taken than there are."""
        state = self.state
        return max(0, state.slots_used - state.cpus), max(0, state.memory_used - state.memory)

    def _queues(self):
        """What waits, as it waits: every queue's tasks in their order."""
        return [
            lane.tasks()
            for session in self.state.sessions.values()
            for lane in [
                session.ready_mesh,
                *session.ready_pinned.values(),
                *(lane for shape in session.shapes.values() for lane in shape.lanes.values()),
            ]
        ]

    def _prove_order(self, queues):
        """Nobody is overtaken in its queue."""
        for queue in queues:
            waits = [task.state is TaskState.QUEUED for task in queue]
            started = [task.state is TaskState.RUNNING for task in queue]
            if True in waits and True in started:
                last = len(started) - 1 - started[::-1].index(True)
                assert waits.index(True) > last, "first come, first served"

    def _execute(self, command):
        match command:
            case c.StartWorker(worker):
                assert worker not in self.processes, "ids never repeat"
                taken = next((device for device in command.gpus if device in self.elsewhere), "")
                if taken:
                    self.wire.append(e.WorkerLost(0, worker, "could not be started", None, taken))
                    return
                self.processes[worker] = Process(worker, host=command.actor is not None)
            case c.HostActor(worker, actor, incarnation):
                process = self.processes.get(worker)
                if process is not None:
                    assert process.greeted, "an order for a host that has not said hello"
                    assert process.host, "an order for a worker"
                    assert process.hosting is None, "two actors in one process"
                    process.hosting = (actor, incarnation)
            case c.StopWorker(worker) | c.KillWorker(worker):
                if worker in self.processes:
                    process = self.processes[worker]
                    asked = isinstance(command, c.StopWorker)
                    assert process.run is None or not asked, "stopped while busy"
                    if asked and process.paused:
                        process.asked = True
                    else:
                        process.doomed = True
            case c.StartTask(worker, job, task, attempt, skip, careful):
                process = self.processes.get(worker)
                if process is not None:  # else it has died and the news is on its way
                    assert process.greeted, "work for a worker that has not said hello"
                    assert process.run is None, "two tasks on one worker"
                    assert not process.host, "a task for an actor's process"
                    size = self.state.jobs[job].tasks[task].spec.size
                    process.run, process.careful = (job, task, attempt), careful
                    process.todo = [item for item in range(size) if item not in skip]
                    process.interrupted = process.waits = process.shed = False
            case c.InterruptTask(worker, job, task, attempt):
                process = self.processes.get(worker)
                if process is not None and process.run == (job, task, attempt):
                    process.interrupted = True
            case c.ShedItems(worker, job, task, attempt):
                process = self.processes.get(worker)
                if process is not None and process.run == (job, task, attempt):
                    process.shed = True
            case c.SetTimer(timer):
                self.timers.add(timer)
            case c.CancelTimer(timer):
                assert timer in self.timers, "a timer that is not set"
                self.timers.remove(timer)
            case c.EndHub():
                self.ended = True

    # What workers do.

    def greet(self, process):
        process.greeted = True
        self.wire.append(e.WorkerReady(0, process.id, self.holding(process), process.hosting))

    def come_up(self, process, failed=False):
        """The actor answers calls, or cannot be made."""
        process.up = True
        self.wire.append(ActorUp(0, process.id, *process.hosting, failed))

    def holding(self, process):
        unread = [
            (m.job, m.task, m.attempt)
            for m in self.wire
            if isinstance(m, e.ItemsReported) and m.worker == process.id
        ]
        return tuple(dict.fromkeys([process.run, *unread] if process.run else unread))

    def report(self, process, count, failing=False, outcome=None):
        """Finish some items, or (with an outcome, or none left) the task."""
        job, task, attempt = process.run
        items = runs_of(process.todo[:count], not failing)
        del process.todo[:count]
        if outcome is None and not process.todo:
            outcome = Outcome.OK
        self.wire.append(e.ItemsReported(0, process.id, job, task, attempt, items, outcome))
        if outcome is not None:
            process.run = None
            process.waits = False

    def give_back(self, process):
        """Answer, at most with the later half of what has not begun."""
        process.shed = False
        left = process.todo[1:]
        returned = tuple(left[len(left) // 2 :])
        process.todo = [item for item in process.todo if item not in returned]
        self.wire.append(e.ItemsReported(0, process.id, *process.run, (), None, returned))

    def wait(self, process):
        """Its task waits for tasks of its own, or goes on."""
        process.waits = not process.waits
        self.wire.append(e.TaskWaiting(0, process.id, *process.run, process.waits))

    def abandon(self):
        """The hub notices that somebody who opened jobs is gone."""
        jobs, self.left = tuple(self.left), []
        self.tell(e.JobsAbandoned(0, jobs))

    def pause(self, process):
        """SIGSTOP or SIGCONT; the news comes from the nursery."""
        process.paused = not process.paused
        process.doomed = process.doomed or (process.asked and not process.paused)
        self.tell(e.WorkerPaused(0, process.id, process.paused))

    def drain_one(self, process):
        """SIGTERM."""
        process.draining = True
        self.wire.append(e.WorkerDraining(0, process.id))

    def die(self, process):
        del self.processes[process.id]
        self.left += [job for job, opener in self.opened_by.items() if opener == process.id]
        mark = (process.run[2], process.todo[0]) if process.careful and process.run and process.todo else None
        self.wire.append(e.WorkerLost(0, process.id, "was killed by SIGKILL", mark))

    def receive(self, place=0, execute=True):
        return self.tell(self.wire.pop(place), execute)

    def fire(self, timer):
        self.timers.remove(timer)
        self.tell(e.TimerFired(0, timer))

    def hub_dies(self):
        """A new core from the journal; living workers say hello again and repeat what was not read."""
        twin = replay(load(dump(self.history)))
        assert twin.state == self.state, "a replay gives the same state"
        self.core = twin
        self.timers.clear()
        self.epoch += 1
        kept = (e.ItemsReported, e.TaskWaiting, e.WorkerDraining, ActorUp)
        self.wire = [m for m in self.wire if isinstance(m, kept) and m.worker in self.processes]
        living = tuple(self.processes)
        for process in self.processes.values():
            if process.greeted and not process.paused:
                self.greet(process)
            elif process.greeted:
                process.greeted = False  # it says hello when it goes on
        hellos = [m for m in self.wire if isinstance(m, e.WorkerReady)]
        self.wire = hellos + [m for m in self.wire if not isinstance(m, e.WorkerReady)]
        self.tell(e.HubRecovered(0, self.epoch, living))
        for process in list(self.processes.values()):
            if process.paused:
                self.tell(e.WorkerPaused(0, process.id, True))

    # Proofs.

    def drain(self):
        """Workers answer, nothing new happens: what can end, ends."""
        for _ in range(100_000):
            if self.wire:
                self.receive()
                continue
            process = next((p for p in self.processes.values() if self._can_act(p)), None)
            if process is not None:
                if process.doomed:
                    self.die(process)
                elif not process.greeted:
                    self.greet(process)
                elif process.hosting and not process.up:
                    self.come_up(process)
                elif process.interrupted:
                    self.report(process, 0, outcome=Outcome.INTERRUPTED)
                elif process.waits:
                    self.wait(process)
                else:
                    self.report(process, len(process.todo))
                continue
            if self.left:
                self.abandon()
                continue
            soon = ("overdue", "rejoin", "paused", "drain", "shed", "ending", "elsewhere")
            timer = next((t for t in sorted(self.timers) if t.startswith(soon)), None)
            if timer is None:
                return
            self.fire(timer)
        raise AssertionError("it never comes to rest")

    def _can_act(self, process):
        if process.paused and not process.doomed:
            return False
        if process.waits and not process.interrupted and not process.doomed:
            return not any(not self.state.jobs[job].finished for job in self.children(process))
        comes_up = process.hosting is not None and not process.up
        return process.doomed or not process.greeted or comes_up or process.run is not None

    def children(self, process):
        """The jobs of its task that are known."""
        return list(self.state.nested.get(self.piece(process), ()))

    def piece(self, process):
        """What the core knows its run by, as the hub finds out."""
        worker = self.state.workers.get(process.id)
        return process.run[:2] if worker is None or worker.task is None else worker.task

    def prove(self):
        """Every job ends, each item was delivered once, nothing leaks."""
        self.elsewhere.clear()
        for job in list(self.state.jobs.values()):
            if not job.sealed:
                self.tell(e.TasksSubmitted(0, job.id, (), True))
        self.drain()
        self.books.prove_waits(self.state, {p.id for p in self.processes.values() if p.paused})
        while self.state.actors:
            self.tell(ActorEndAsked(0, next(iter(self.state.actors)), "was stopped"))
        self.drain()
        for session in list(self.state.sessions.values()):
            open_jobs = [job for job in session.jobs if not self.state.jobs[job].finished]
            assert not open_jobs or self.state.gpu_waiting, "jobs wait for nothing"
        # What waits for devices may wait for other meshes, which only people stop.
        for session in list(self.state.sessions.values()):
            if session.mesh_gpus:
                self.tell(e.MeshRequested(0, session.id, 0))
        self.drain()
        for job in self.state.jobs.values():
            assert job.finished, f"job {job.id} never ends"
            for index, task in job.tasks.items():
                assert self.books.settled[job.id, index] == task.state
                if task.state is TaskState.DONE:
                    for item in range(task.spec.size):
                        assert self.books.delivered[job.id, index, item] == 1
        assert self.state.slots_used == 0
        for session in list(self.state.sessions.values()):
            self.tell(e.SessionEnded(0, session.id))
        self.drain()
        state = self.state
        self.books.prove_ends(state)
        assert not state.workers
        assert not self.processes
        assert not state.jobs
        assert not state.timers
        assert not self.timers
        assert not state.gpu_waiting
        assert state.first_in_line is None
        assert state.memory_used == state.free_riders == state.slots_used == 0
        assert not any(state.gpus.values())
        assert self.ended or len(self.history) == 1
