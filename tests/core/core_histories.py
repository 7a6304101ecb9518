"""Random histories: each step is one thing that may happen in the simulated world.

Owns the choice of what happens; `draw(n)` gives a number below n, from Hypothesis or from a seed.
"""

from core_world import World

from cellmesh.scheduler.core import events as e
from cellmesh.scheduler.core.actor_events import ActorEndAsked, ActorRenewed, ActorRequested, ActorSpec
from cellmesh.scheduler.core.events import Outcome, Pool, TaskSpec

SESSIONS = ("red", "green", "blue")


class History:
    def __init__(self, draw):
        self.draw = draw
        gpus = ("g0", "g1", "g2")[: draw(4)]
        self.world = World(cpus=1 + draw(3), gpus=gpus, memory=4, least=draw(3), most=draw(4))
        self.clients = 0
        self.jobs = 0
        self.requests = 0
        self.sent = {}  # job -> its events, to be sent again
        self.old = []  # messages of workers, to be received again
        self.steps = [
            (3, self.attach),
            (1, self.lose_client),
            (3, self.scale),
            (8, self.submit),
            (6, self.nest),
            (5, self.wait),
            (1, self.abandon),
            (6, self.give_back),
            (3, self.start_actor),
            (1, self.end_actor),
            (4, self.come_up),
            (2, self.pause),
            (1, self.drain),
            (1, self.lease),
            (4, self.cancel),
            (3, self.claim),
            (1, self.reset),
            (1, self.end),
            (6, self.greet),
            (12, self.work),
            (4, self.obey),
            (20, self.receive),
            (3, self.kill),
            (4, self.exit),
            (2, self.fire),
            (1, self.hub_dies),
            (2, self.send_again),
            (2, self.receive_again),
        ]
        self.table = [step for weight, step in self.steps for _ in range(weight)]
        self.attach()

    def run(self, steps):
        for _ in range(steps):
            self.table[self.draw(len(self.table))]()
        self.world.prove()

    def pick(self, things):
        things = list(things)
        return things[self.draw(len(things))] if things else None

    def attach(self):
        self.clients += 1
        name = self.pick(SESSIONS)
        grace = 0 if name == "blue" else 600.0
        self.world.tell(e.SessionAttached(0, name, f"client{self.clients}", name + ".ipynb", grace))

    def session(self):
        return self.pick(self.world.state.sessions) or "nobody"

    def lose_client(self):
        self.world.tell(e.ClientLost(0, f"client{1 + self.draw(self.clients)}"))

    def scale(self):
        gpus = self.draw(2) if self.draw(3) == 0 else 0
        self.world.tell(e.MeshRequested(0, self.session(), self.draw(4), gpus))

    def submit(self):
        # To an open job if there is one, else to a new one; sometimes the last tasks come later.
        world = self.world
        job = self.pick(job.id for job in world.state.jobs.values() if not job.sealed)
        if job is None:
            self.jobs += 1
            job = self.jobs
            setup = self.draw(6) == 0
            opened = e.JobOpened(
                0, job, self.session(), "map", "f", stop_on_error=self.draw(3) == 0, setup=setup
            )
            self.sent[job] = [opened]
            world.tell(opened)
        first = sum(len(m.tasks) for m in self.sent[job][1:])
        tasks = tuple(self.spec(first + i) for i in range(self.draw(4)))
        event = e.TasksSubmitted(0, job, tasks, self.draw(3) > 0)
        self.sent[job].append(event)
        world.tell(event)

    def nest(self):
        # A running task submits; mostly it then waits.
        process = self.pick(p for p in self.world.processes.values() if p.run and not p.paused)
        if process is None:
            return
        world = self.world
        self.jobs += 1
        job = self.jobs
        parent = world.piece(process) if self.draw(10) else (1 + self.draw(self.jobs), 0)
        owner = world.state.jobs.get(process.run[0])
        session = owner.session if owner else "nobody"
        opened = e.JobOpened(0, job, session, "map", "f", stop_on_error=self.draw(4) == 0, parent=parent)
        tasks = tuple(self.spec(i, inside=True) for i in range(1 + self.draw(2)))
        submitted = e.TasksSubmitted(0, job, tasks, self.draw(8) > 0)
        self.sent[job] = [opened, submitted]
        world.opened_by[job] = process.id
        world.tell(opened)
        world.tell(submitted)
        if not process.waits and self.draw(4):
            world.wait(process)

    def wait(self):
        process = self.pick(p for p in self.world.processes.values() if p.run and not p.paused)
        if process:
            self.world.wait(process)

    def give_back(self):
        process = self.pick(p for p in self.world.processes.values() if p.run and p.shed and not p.paused)
        if process:
            self.world.give_back(process)

    def pause(self):
        process = self.pick(self.world.processes.values())
        if process:
            self.world.pause(process)

    def drain(self):
        process = self.pick(p for p in self.world.processes.values() if p.greeted and not p.paused)
        if process:
            self.world.drain_one(process)

    def lease(self):
        device = self.pick(self.world.state.gpus)
        held = {process.id for process in self.world.processes.values()}
        if device and not held & self.world.state.gpus[device].keys():  # else the lock is this hub's
            self.world.elsewhere ^= {device}

    def start_actor(self):
        self.requests += 1
        name = self.pick(("", "", "llm", "other"))
        spec = ActorSpec(
            self.pick((0, 0, 500, 1000)),
            self.pick((0, 0, 1000, 2000)),
            self.pick((0, 0, 3)),
            self.draw(3),
            self.draw(4) == 0,
        )
        what = name, "Model", str(self.draw(2)), spec, self.draw(5) == 0
        self.world.tell(ActorRequested(0, "client1", self.requests, self.session(), self.requests, *what))

    def end_actor(self):
        actor = 1 + self.draw(self.requests + 1)
        if self.draw(3):
            self.world.tell(ActorEndAsked(0, actor, "was stopped"))
        else:
            self.world.tell(ActorRenewed(0, actor, str(self.draw(2))))

    def come_up(self):
        hosts = [p for p in self.world.processes.values() if p.hosting and not p.up and not p.paused]
        process = self.pick(hosts)
        if process:
            self.world.come_up(process, failed=self.draw(6) == 0)

    def abandon(self):
        if self.world.left:
            self.world.abandon()

    def spec(self, index, inside=False):
        size = 1 + self.draw(5)
        retries = self.draw(3)
        if inside:
            # Children that want the GPUs of their parent would wait for it, and it for them.
            return TaskSpec(index, size, Pool.MESH if self.draw(12) == 0 else Pool.TASK, None, 0, retries)
        kind = self.draw(8)
        needs = {}
        if self.draw(3) == 0:
            needs = {
                "cpus": self.pick((0, 250, 500, 1000, 1500, 2000, 4000)),
                "memory": self.draw(6),
                "priority": self.draw(3) - 1,
                "timeout": self.pick((0.0, 5.0)),
            }
        if kind < 3:
            return TaskSpec(index, size, Pool.TASK, None, 0, retries, **needs)
        if kind == 3:
            gpus = self.pick((250, 500, 600, 1000, 1500, 2000))
            return TaskSpec(index, size, Pool.TASK, None, gpus, retries, **needs)
        if kind < 6:
            return TaskSpec(index, size, Pool.MESH, None, 0, retries, **needs)
        return TaskSpec(index, size, Pool.MESH, self.draw(3), 0, retries, **needs)

    def cancel(self):
        job = 1 + self.draw(self.jobs + 1)
        tasks = None if self.draw(2) else (self.draw(3), self.draw(3))
        self.world.tell(e.CancelRequested(0, job, tasks, self.draw(3) == 0))

    def claim(self):
        job = 1 + self.draw(self.jobs + 1)
        tasks = None if self.draw(2) else (self.draw(3), self.draw(3))
        self.world.tell(e.ResultsClaimed(0, job, tasks))

    def reset(self):
        self.world.tell(e.SessionReset(0, self.session()))

    def end(self):
        if self.draw(2) == 0:
            self.world.tell(e.SessionEnded(0, self.session()))

    def greet(self):
        process = self.pick(p for p in self.world.processes.values() if not p.greeted and not p.paused)
        if process:
            self.world.greet(process)

    def work(self):
        process = self.pick(p for p in self.world.processes.values() if p.run and not p.paused)
        if process:
            end = self.draw(12)
            outcome = {0: Outcome.ERROR, 1: Outcome.INTERRUPTED}.get(end)
            self.world.report(process, self.draw(4), failing=self.draw(6) == 0, outcome=outcome)

    def obey(self):
        process = self.pick(
            p for p in self.world.processes.values() if p.run and p.interrupted and not p.paused
        )
        if process:
            self.world.report(process, 0, outcome=Outcome.INTERRUPTED)

    def receive(self):
        if self.world.wire:
            # Messages of different workers overtake each other; those of one worker come in order, but for
            # the news of its exit, which comes from the nursery. A hub may also die between an event and
            # what it orders.
            wire = self.world.wire
            message = wire[self.draw(len(wire))]
            if not isinstance(message, e.WorkerLost):
                message = next(m for m in wire if m.worker == message.worker)
            place = wire.index(message)
            self.old.append(self.world.wire[place])
            dying = self.draw(40) == 0
            self.world.receive(place, execute=not dying)
            if dying:
                self.world.hub_dies()

    def kill(self):
        process = self.pick(self.world.processes.values())
        if process:
            self.world.die(process)

    def exit(self):
        process = self.pick(p for p in self.world.processes.values() if p.doomed)
        if process:
            self.world.die(process)

    def fire(self):
        timer = self.pick(sorted(self.world.timers))
        if timer and (not timer.startswith("grace") or self.draw(4) == 0):
            self.world.fire(timer)

    def hub_dies(self):
        self.world.hub_dies()

    def send_again(self):
        # Clients send again what they have not claimed; they never re-open what they have.
        world = self.world
        job = self.pick(job for job in self.sent if job in world.state.jobs)
        if job is not None:
            world.tell(self.pick(self.sent[job]))

    def receive_again(self):
        message = self.pick(self.old[-20:])
        known = self.world.state.workers
        if message is None:
            return
        if isinstance(message, e.WorkerReady | e.TaskWaiting) and message.worker in known:
            return  # the first are repeated after a hub's death alone, the others have no number of their own
        if not (isinstance(message, e.WorkerLost) and message.worker in known):
            self.world.tell(message)
