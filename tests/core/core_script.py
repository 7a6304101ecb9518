"""Short names for scripted tests of the core: each call is one event, checked, and returns its commands."""

from cellmesh.scheduler.core import events as e
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.events import Outcome, Pool, TaskSpec
from cellmesh.scheduler.core.invariants import check
from cellmesh.scheduler.core.replay import replay
from cellmesh.scheduler.core.state import WorkerState

W = 1_000_001  # the first worker of epoch 1
A = 2**40 + 1  # the first attempt of epoch 1


def task(index=0, **options):
    return TaskSpec(index, **options)


def pinned(index, worker, **options):
    return TaskSpec(index, pool=Pool.MESH, worker=worker, **options)


def over(index, **options):
    return TaskSpec(index, pool=Pool.MESH, **options)


class Script:
    def __init__(self, cpus=2, gpus=(), memory=0, least=0, most=0, grace=600.0, session=True):
        self.core = Core()
        self.history = []
        self.tell(e.HubStarted(0.0, 1, cpus, gpus, memory, least, most))
        if session:
            self.attach("s", grace=grace)

    @property
    def state(self):
        return self.core.state

    def tell(self, event):
        self.history.append(event)
        commands = self.core.handle(event)
        check(self.state)
        return commands

    def attach(self, session="s", client=None, grace=600.0):
        client = client or f"kernel of {session}"
        return self.tell(e.SessionAttached(0.0, session, client, f"{session}.ipynb", grace))

    def leave(self, session="s"):
        return self.tell(e.ClientLost(0.0, f"kernel of {session}"))

    def end(self, session="s"):
        return self.tell(e.SessionEnded(0.0, session))

    def reset(self, session="s"):
        return self.tell(e.SessionReset(0.0, session))

    def mesh(self, size, gpus=0, session="s"):
        return self.tell(e.MeshRequested(0.0, session, size, gpus))

    def ready_mesh(self, size, gpus=0, session="s"):
        """A mesh that has started."""
        self.mesh(size, gpus, session)
        for worker in list(self.state.sessions[session].mesh.values()):
            if self.state.workers[worker].state is WorkerState.STARTING:
                self.ready(worker)

    def open(self, job=1, session="s", **options):
        return self.tell(e.JobOpened(0.0, job, session, "map", "f", **options))

    def submit(self, *tasks, job=1, last=True):
        return self.tell(e.TasksSubmitted(0.0, job, tasks, last))

    def launch(self, *tasks, job=1, session="s", last=True, **options):
        """Open a job and submit all of it."""
        self.open(job, session, **options)
        return self.submit(*tasks, job=job, last=last)

    def ready(self, worker, *holding):
        return self.tell(e.WorkerReady(0.0, worker, holding))

    def lost(self, worker, why="was killed by SIGKILL", mark=None):
        return self.tell(e.WorkerLost(0.0, worker, why, mark))

    def refused(self, worker, device):
        """Another hub was quicker."""
        return self.tell(e.WorkerLost(0.0, worker, "could not be started", None, device))

    def report(self, worker, attempt, *items, job=1, index=0, outcome=None):
        """Items are numbers; negative ones failed (-1 is item 0, -2 is item 1)."""
        found = tuple((item, True, 1) if item >= 0 else (-item - 1, False, 1) for item in items)
        return self.tell(e.ItemsReported(0.0, worker, job, index, attempt, found, outcome))

    def ok(self, worker, attempt, *items, job=1, index=0):
        return self.report(worker, attempt, *(items or (0,)), job=job, index=index, outcome=Outcome.OK)

    def paused(self, worker, paused=True):
        return self.tell(e.WorkerPaused(0.0, worker, paused))

    def drains(self, worker):
        return self.tell(e.WorkerDraining(0.0, worker))

    def waits(self, worker, attempt, waits=True, job=1, index=0):
        return self.tell(e.TaskWaiting(0.0, worker, job, index, attempt, waits))

    def abandon(self, *jobs):
        return self.tell(e.JobsAbandoned(0.0, jobs))

    def cancel(self, job=1, tasks=None, force=False, queued=False):
        return self.tell(e.CancelRequested(0.0, job, tasks, force, queued))

    def claim(self, job=1, tasks=None):
        return self.tell(e.ResultsClaimed(0.0, job, tasks))

    def fire(self, timer):
        return self.tell(e.TimerFired(0.0, timer))

    def hub_dies(self, *living, epoch=2):
        twin = replay(self.history)
        assert twin.state == self.state
        self.core = twin
        return self.tell(e.HubRecovered(0.0, epoch, living))


def running(size=1, **options):
    """A script in which worker W runs task 0 of job 1."""
    s = Script()
    s.launch(task(size=size, **options))
    s.ready(W)
    return s
