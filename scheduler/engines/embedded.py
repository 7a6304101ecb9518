"""The embedded engine: this machine's hub and workers, over ZeroMQ.

Owns the kernel's end: one thread with the socket, what has been sent already, and exactly-once delivery to
the sink. Never places work. Read next: `../wire/dealer.py`, `../hub/hub.py`.
"""

import itertools
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cellmesh.scheduler.objects import codec, makers
from cellmesh.scheduler.wire import actors as lives, folders, messages as msg
from cellmesh.scheduler.wire.dealer import Dealer

from .contract import (
    Capacity,
    Engine,
    EngineError,
    HubGoneError,
    JobSpec,
    SessionSpec,
    Sink,
    Survivors,
    VersionMismatchError,
)
from .delivered import Delivered, Deliveries
from .embedded_actors import EmbeddedActors
from .far_actors import FarActors
from .questions import Questions
from .welcome import Answer

GOODBYE_SECONDS = 2.0

_ENDED = "The hub of this session has ended, and its workers with it. Run the cell again."


class EmbeddedEngine(Engine):
    """Attach to the hub in `folder` (see `nursery.start.ensure_hub`).

    Inside a task, name the `worker` that this process is (`worker.lending.place()` knows): the engine is a
    second client of that worker's session then, which it never ends.
    """

    name = "embedded"
    away = "the hub is away, and is being started again; what runs goes on meanwhile."

    def __init__(self, folder: Path, *, worker: int = 0, shares_memory: bool = True) -> None:
        self._folder = folder
        self._shares_memory = shares_memory
        self._worker = worker
        self._client = uuid.uuid4().hex[:12]
        self._base = int(self._client[:7], 16) << 32
        self._count = itertools.count(1)
        self._sink: Sink | None = None
        self._spec: SessionSpec | None = None
        self._answer = Answer()
        self._blobs: set[str] = set()
        self._context = ""
        self._delivered = Deliveries()
        self._questions = Questions(self._post)
        gate = folders.gate(folder)
        self._actors = (
            FarActors(self._questions, self._post, gate)
            if shares_memory and gate.exists()
            else EmbeddedActors(self._questions, self._post)
        )
        self._dealer: Dealer[Any] | None = None
        self._gone = False
        self._missed = 0  # how often we were told that the hub is away

    # --- life ------------------------------------------------------------------------------------

    def open(self, session: SessionSpec, sink: Sink) -> Survivors:
        try:
            connection = folders.read_connection(self._folder)
        except folders.FolderError as error:
            if isinstance(error.__context__, FileNotFoundError):
                raise HubGoneError(str(error)) from None
            raise
        if connection.protocol != msg.PROTOCOL:
            raise VersionMismatchError(
                f"The hub {connection.hub} speaks protocol {connection.protocol}, "
                f"this kernel's cellmesh {msg.PROTOCOL}."
            )
        self._spec, self._sink = session, sink
        self._actors.data = Path(connection.data)
        self._dealer = Dealer(
            connection.socket,
            b"k" + self._client.encode(),
            msg.ToClient,
            greeting=self._greet,
            on_messages=self._on_messages,
            on_lost=self._on_lost,
            name="cellmesh-client",
        )
        self._dealer.start()
        try:
            welcome = self._answer.wait(self._folder)
        except BaseException:
            self._dealer.close()
            raise
        if self._shares_memory:
            makers.open_maker(welcome.objects, folders.spill_folder(Path(connection.data)))
        info = welcome.session
        self._actors.session = welcome.key
        self._actors.sink = sink.actor
        self.set_context(session.interpreter)
        return Survivors() if info is None else Survivors(tuple(info.mesh), tuple(info.jobs))

    def close(self, *, end_session: bool) -> None:
        self._actors.close()
        if self._dealer is None:
            return
        if not self._gone:
            ends = end_session and not self._worker
            self._dealer.post(msg.ResetSession(end=True) if ends else msg.Goodbye())
            self._gone = True  # a hub that ends of this is no news
            self._dealer.drain(GOODBYE_SECONDS)
        self._dealer.close()
        self._dealer = None
        if self._shares_memory:
            makers.close_maker(self.object_prefix())

    def _post(self, *messages: msg.Wire) -> None:
        if self._dealer is None or self._gone:
            raise EngineError(_ENDED)
        self._dealer.post(*messages)

    # --- what the notebook asks ------------------------------------------------------------------

    def capacity(self) -> Capacity:
        welcome = self._answer.welcome
        return Capacity(welcome.cpus, tuple(welcome.gpus), welcome.memory)

    def new_job_id(self) -> int:
        return self._base | next(self._count)

    def set_mesh(self, size: int, gpus: int = 0) -> None:
        self._post(msg.SetMesh(size, gpus))

    def put_blob(self, data: msg.Payload, digest: str) -> None:
        if digest in self._blobs:
            if isinstance(data, msg.Ref):
                makers.freed([data.name])
            return
        self._blobs.add(digest)
        self._post(msg.PutBlob(digest, data))

    def drop_blob(self, digest: str) -> None:
        if digest in self._blobs:
            self._blobs.discard(digest)
            self._post(msg.DropBlob(digest))

    def set_context(self, interpreter: msg.Interpreter) -> None:
        if self._worker:
            return  # what a task submits runs where the notebook is
        data = msgspec.msgpack.encode(interpreter)
        digest = codec.digest(data)
        if digest != self._context:
            self._context = digest
            self._post(msg.SetContext(digest, data))

    def open_job(self, job: JobSpec) -> None:
        self._delivered[job.job] = Delivered()
        told = job.kind, job.title, job.background, job.stop_on_error, job.setup, job.cell, job.parent
        self._post(msg.OpenJob(job.job, *told))

    def submit(self, job: int, tasks: Sequence[msg.TaskWire], *, last: bool) -> None:
        self._delivered.send(job, tasks, last)
        self._post(msg.Submit(job, list(tasks), last))

    def cancel(
        self, job: int, tasks: Sequence[int] | None = None, *, force: bool = False, queued: bool = False
    ) -> None:
        self._post(msg.Cancel(job, None if tasks is None else list(tasks), force, queued))

    def claim(self, job: int, tasks: Sequence[int] | None = None) -> None:
        if self._dealer is not None and not self._gone:
            self._dealer.post_later(msg.Claim(job, None if tasks is None else list(tasks)))
        self._delivered.claim(job, tasks)

    def attach_job(self, job: int) -> None:
        self._delivered.setdefault(job, Delivered())
        self._post(msg.AttachJob(job))

    @property
    def actors(self) -> EmbeddedActors:
        return self._actors

    def object_prefix(self) -> str:
        return self._answer.welcome.objects if self._shares_memory else ""

    def keep(self, data: msg.Payload) -> None:
        if isinstance(data, msg.Ref):
            self._post(msg.KeepObject(data))

    def drop(self, name: str) -> None:
        if self._dealer is not None and not self._gone:
            self._post(msg.DropObject(name))

    def nudge(self) -> None:
        if self._dealer is not None and not self._gone:
            self._dealer.nudge()

    def reset(self) -> None:
        self._post(msg.ResetSession())
        self._delivered.clear()

    def status(self, timeout: float = 5.0) -> msg.HubInfo:
        answer: msg.Status = self._questions.ask(msg.AskStatus, timeout)
        return answer.hub

    def logs(self) -> str:
        return self._answer.last.logs if self._answer.last is not None else ""

    # --- in the client's thread ------------------------------------------------------------------

    def _greet(self) -> msg.Hello:
        assert self._spec is not None
        return msg.Hello(
            msg.PROTOCOL,
            self._client,
            "task" if self._worker else "kernel",
            os.getpid(),
            self._spec.key,
            self._spec.name,
            self._spec.grace,
            None if self._worker else self._spec.interpreter,
            self._answer.last is not None,
            self._worker,
        )

    def _on_messages(self, messages: list[Any]) -> None:
        sink = self._sink
        assert sink is not None
        for message in messages:
            match message:
                case msg.Results(job, task, worker, items):
                    if fresh := self._delivered.fresh(job, task, items):
                        sink.items(job, task, worker, fresh)
                case msg.Settled(job, task, state, why, worker, seconds):
                    if self._delivered.settle(job, task):
                        sink.settled(job, task, state, why, worker, seconds)
                case msg.Output():
                    sink.output(message)
                case msg.Progress():
                    sink.progress(message)
                case msg.MeshState(workers):
                    sink.workers(workers)
                case msg.Freed(names):
                    makers.freed(names) if names else makers.rest()
                case lives.ActorState(info):
                    if self._actors.told(info):
                        sink.actor(info)
                case msg.Status() | lives.ActorAnswer() | lives.Actors() | lives.Recipe():
                    self._questions.answered(message)
                case msg.Notice(text):
                    sink.notice(text)
                case msg.JobState(info, missing):
                    self._delivered.stand(info.id, missing=missing, finished=info.finished)
                    sink.job(info, missing)
                case msg.Welcome():
                    self._missed = 0
                    if self._answer.welcomed(message) and not self._gone:
                        self._back(sink, message)
                case msg.Refuse(why, job):
                    if not self._answer.came:
                        self._answer.refused(why)
                    elif why.startswith("gone: "):
                        self._let_go()
                    else:
                        sink.refused(why, job)
        sink.flushed()

    def _back(self, sink: Sink, welcome: msg.Welcome) -> None:
        """A hub that was killed is there again; what it had not sent yet may have died with it."""
        if welcome.session is not None:
            sink.workers(welcome.session.mesh)
        self._actors.follow_again()
        self._questions.again()

    def _on_lost(self) -> None:
        """The hub's socket is gone: the nursery restarts it, unless the hub's folder is gone too."""
        if self._gone:
            return
        if not folders.is_locked(self._folder / "lock"):
            self._let_go()
            return
        self._missed += 1
        if self._missed == 2 and self._sink is not None:  # for a second; mostly it is back sooner
            self._sink.notice(self.away)
            self._sink.flushed()

    def _let_go(self) -> None:
        """The hub has ended, and nothing more will come."""
        self._gone = True
        if self._dealer is not None:
            self._dealer.close()  # or it would greet the next hub at this address, and hold the session there
        if not self._answer.came:
            self._answer.refused(f"gone: The hub at {self._folder} has ended.")
        elif self._sink is not None:
            self._questions.lose()
            self._sink.lost(_ENDED)
            self._sink.flushed()
