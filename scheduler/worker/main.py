"""A worker process: one thread talks to the hub, the main thread runs the user's code.

Owns the process and the road between the two threads. Never decides what runs: the hub does. The talking
thread stays responsive while user code computes, so that interrupts and pings reach a busy worker.
Read next: `runner.py` (what happens to a task), `interrupts.py`.
"""

import os
import queue
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.wire import folders, system
from cellmesh.scheduler.wire.control import WorkerSpec
from cellmesh.scheduler.wire.dealer import Dealer
from cellmesh.scheduler.wire.messages import (
    PROTOCOL,
    Blob,
    Draining,
    Forget,
    Freed,
    HostActor,
    Interrupt,
    Output,
    Payload,
    Progress,
    Ready,
    Report,
    Run,
    Shed,
    Stop,
    ToWorker,
)

from . import bars, devices, lending, surroundings
from .draining import TermSignal
from .handover import await_memory
from .host.host import Host
from .interrupts import Interrupts
from .logs import LogWriter
from .runner import Runner
from .shell import adopt
from .streams import FdCapture

LAST_WORDS_SECONDS = 0.5


def main(argument: str) -> None:
    """Entry point of a worker that was started from nothing (the `spawn` start method)."""
    spec = msgspec.json.decode(argument, type=WorkerSpec)
    run(spec, parent=os.getppid())
    os._exit(0)


def run(spec: WorkerSpec, parent: int | None) -> None:
    """Be this worker until told to stop."""
    if parent is not None:
        system.die_with_parent(parent)
    name = f"worker {spec.number}" if spec.number is not None else "task worker"
    system.name_process(f"cellmesh-{'w' + str(spec.number) if spec.number is not None else 'task'}")
    os.environ["CELLMESH_WORKER"] = str(spec.number if spec.number is not None else f"t{spec.worker}")
    devices.show_only(spec.gpus)
    Worker(spec, name).run()


class Worker:
    def __init__(self, spec: WorkerSpec, name: str) -> None:
        self._spec = spec
        self._folder = Path(spec.address.removeprefix("ipc://")).parent
        self._blobs: dict[str, Payload] = {}
        self._runs: queue.SimpleQueue[Run | Host | None] = queue.SimpleQueue()
        self._host: Host | None = None  # if this is an actor's process, and which actor it is
        self._hosting: tuple[int, int] | None = None
        self._holding: dict[int, tuple[int, int, int]] = {}  # by attempt: not over, or not acknowledged
        self._cores = 1  # of the task at hand
        self._over: list[int] = []  # attempts whose last report is under way
        self._interrupts = Interrupts()
        self._term = TermSignal(self._told_to_end)
        self._leaving = False
        self._capture = FdCapture()
        label = name if spec.number is not None else f"a task worker (pid {os.getpid()})"
        log = LogWriter(spec.logs, f"w{spec.number}" if spec.number is not None else f"t{spec.worker}")
        self._runner = Runner(
            number=spec.number,
            label=label,
            prefix=spec.prefix,
            emit=self._emit,
            report=self._report,
            logs=log,
            interrupts=self._interrupts,
            capture=self._capture,
            before_first=partial(await_memory, spec.alone) if spec.alone else None,
        )
        identity = b"w%d" % spec.worker
        self._dealer: Dealer[Any] = Dealer(
            spec.address,
            identity,
            ToWorker,
            greeting=self._greet,
            on_messages=self._on_messages,
            on_lost=self._on_lost,
            readers={
                self._term.fileno(): self._term.look,
                **dict.fromkeys(self._capture.filenos(), self._capture.pump),
            },
            name="cellmesh-talk",
        )

    def run(self) -> None:
        """In the main thread: run tasks until told to stop."""
        self._interrupts.install()
        self._term.install()
        lending.settle_in(lending.Place(self._folder, self._spec.worker), self._dealer.post)
        adopt(self._runner)
        bars.follow()
        makers.open_maker(self._spec.prefix, Path(self._spec.spill))
        self._dealer.start()
        while (task := self._runs.get()) is not None:
            if isinstance(task, Host):
                surroundings.use_cores(self._cores, task.cores)
                task.serve()
                break
            lending.begin(task)
            cores = max(1, int(task.task.cpus))
            if cores != self._cores:
                surroundings.use_cores(self._cores, cores)
                self._cores = cores
            self._runner.run(task, self._blobs)
            lending.end()
        self._runner.close()
        self._dealer.drain(LAST_WORDS_SECONDS)
        self._dealer.close()
        makers.close_maker(self._spec.prefix)

    def _emit(self, output: Output | Progress) -> None:
        self._dealer.post(output)

    def _report(self, report: Report) -> None:
        if report.outcome is not None:
            self._over.append(report.attempt)
        self._dealer.post(report)

    # --- in the talking thread -------------------------------------------------------------------

    def _greet(self) -> Ready:
        return Ready(
            PROTOCOL,
            self._spec.worker,
            os.getpid(),
            list(self._holding.values()),
            self._runner.names(),
            self._hosting,
        )

    def _told_to_end(self) -> None:
        """SIGTERM: it is for the hub to say when."""
        self._leaving = True
        self._dealer.post(Draining())

    def _host_actor(self, order: HostActor) -> Host:
        self._hosting = order.actor, order.incarnation
        return Host(
            order,
            folder=self._folder,
            prefix=self._spec.prefix,
            logs=self._spec.logs,
            alone=self._spec.alone,
            interrupts=self._interrupts,
            capture=self._capture,
            blobs=self._blobs,
            up=self._dealer.post,
        )

    def _on_lost(self) -> None:
        """The hub's socket is gone. It comes back, unless nursery and hub are gone both.

        On Linux the nursery's death has killed us before; elsewhere this is how a worker notices.
        """
        if not folders.is_locked(self._folder / "lock"):
            os._exit(1)

    def _on_messages(self, messages: list[Any]) -> None:
        if self._over and self._dealer.idle:
            while self._over:
                self._holding.pop(self._over.pop(), None)
        for message in messages:
            match message:
                case Run():
                    self._holding[message.attempt] = (message.job, message.task.index, message.attempt)
                    self._interrupts.expect(message.attempt)
                    self._runs.put(message)
                case Blob(digest, data):
                    self._blobs[digest] = data
                case Interrupt(attempt):
                    self._interrupts.request(attempt)
                case Freed(names):
                    makers.freed(names) if names else makers.rest()
                case Forget(digests):
                    for digest in digests:
                        self._blobs.pop(digest, None)
                    self._runner.forget(digests)
                case Shed(attempt):
                    self._runner.shed(attempt)
                case HostActor():
                    self._host = self._host_actor(message)
                    self._runs.put(self._host)
                case Stop() if self._host is not None:
                    self._host.stop(leaving=self._leaving)
                case Stop():
                    self._runs.put(None)
