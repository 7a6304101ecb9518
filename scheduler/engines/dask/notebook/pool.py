"""Maps and calls on a Dask cluster: tasks of Dask's own scheduler, in its own threads.

Owns what the engine asks of them, and how large objects are brought to this process. Decides nothing:
`desk.py` does, in its thread. Read next: `desk.py`, `puts.py`, `worker/work.py` (the workers' end).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from distributed import Client, Future

from cellmesh.scheduler.engines.contract import EngineError, JobSpec
from cellmesh.scheduler.engines.dask.between.keys import session_of
from cellmesh.scheduler.engines.dask.between.orders import REFS
from cellmesh.scheduler.engines.dask.worker import hands
from cellmesh.scheduler.objects import codec, makers, segments
from cellmesh.scheduler.wire.messages import Interpreter, JobInfo, Payload, Ref, TaskWire

from .desk import Desk
from .guests import Guests
from .puts import Puts
from .sent import Wanted
from .told import Told


class Pool:
    """Of one session. `blobs` gives what tasks refer to by digest; `told` is where everything is told."""

    def __init__(self, client: Client, session_key: str, told: Told, blobs: Callable[[str], Payload]) -> None:
        self._client = client
        self._scheduler: str = client.scheduler.address  # a client that is closed knows none
        self._blobs = blobs
        session = session_of(session_key)
        self._prefix = f"{REFS}{session}-"
        self._puts = Puts(client, session)
        self._guests = Guests(client, session)
        self._desk = Desk(client, session, told, self._puts, self._guests)

    def open(self, grace: float = 0.0) -> list[JobInfo]:
        """Begin; the jobs that an earlier kernel of the session has left. Waits for the scheduler.

        `grace` is how many seconds the session outlives this process.
        """
        found = self._desk.start(grace)
        segments.elsewhere(self._prefix, self._bring)
        makers.keep_elsewhere(self.object_prefix(), self._puts)
        codec.guests.insert(0, self._guests.reduce)
        return found

    def close(self, *, end_session: bool) -> None:
        """Tell nothing more. Waits until what was asked before is done."""
        self._desk.stop(end_session=end_session)
        segments.elsewhere(self._prefix, partial(_left, self._scheduler))
        makers.close_maker(self.object_prefix())
        codec.guests.remove(self._guests.reduce)

    def set_context(self, interpreter: Interpreter) -> None:
        """Surroundings of what is submitted from now on."""
        self._desk.post(self._desk.sender.set_context, interpreter)

    def drop_blob(self, digest: str) -> None:
        """What is submitted from now on does not refer to it."""
        self._desk.post(self._desk.sender.drop_blob, digest)

    def object_prefix(self) -> str:
        """As the contract has it: what is made under it is kept here, and brought to where tasks need it."""
        return self._puts.prefix

    def keep(self, data: Payload) -> None:
        """As the contract has it."""
        if isinstance(data, Ref):
            self._puts.keep(data.name)

    def drop(self, name: str) -> None:
        """As the contract has it."""
        self._puts.freed(name)

    def future(self, job: int, task: int, item: int, payload: Callable[[], Payload]) -> Future:
        """A result as a future of Dask's; `payload` is what it is, if the task is not known any more."""
        sent = self._desk.ask(self._desk.book.sent, job, task)
        if sent is not None and sent.future is not None:
            return self._client.submit(hands.result_of, sent.future, item, pure=False)
        data = payload()
        if isinstance(data, bytes):
            return self._client.submit(codec.loads, data, pure=False)
        found = self._desk.book.find(data.name)
        if found is not None:
            return self._client.submit(hands.result_of, found[1], found[0], pure=False)
        return self._client.submit(hands.whole, self._puts.placed(data.name), pure=False)

    def check(self) -> None:
        """Raises EngineError if the cluster has ended."""
        if self._desk.ends.gone:
            raise EngineError(self._desk.ends.gone)

    def open_job(self, spec: JobSpec) -> None:
        """As the contract has it."""
        self.check()
        self._desk.post(self._desk.open, spec)

    def submit(self, job: int, tasks: Sequence[TaskWire], *, last: bool) -> None:
        """As the contract has it."""
        self.check()
        blobs = {digest: self._blobs(digest) for task in tasks for digest in task.blobs}
        wanted = []
        for task in tasks:
            theirs = {digest: blobs[digest] for digest in task.blobs}
            needs = self._puts.needs([task.payload, *theirs.values()])
            self._guests.used(job, needs)
            wanted.append(Wanted(task, theirs, needs))
        self._desk.post(self._desk.submit, job, wanted, last)

    def cancel(self, job: int, tasks: Sequence[int] | None, *, force: bool, queued: bool) -> None:
        """As the contract has it. Nothing can be replaced here: with `force` nobody waits for what runs."""
        self._desk.post(self._desk.cancel, job, tasks, force, queued)

    def claim(self, job: int, tasks: Sequence[int] | None) -> None:
        """As the contract has it."""
        self._desk.post(self._desk.claim, job, tasks)

    def attach_job(self, job: int) -> None:
        """As the contract has it."""
        self._desk.post(self._desk.attach, job)

    def reset(self) -> None:
        """Cancel everything, and forget it."""
        self._desk.post(self._desk.reset)

    def jobs(self) -> list[JobInfo]:
        """Those that run or were not claimed, also of an earlier kernel. Waits for the scheduler."""
        return self._desk.ask(self._desk.jobs)

    def _bring(self, ref: Ref) -> Any:
        """The content of a large object: it is here, or with a worker. Any thread but Dask's."""
        content: Any = self._puts.content(ref.name)
        if content is not None:
            return content
        found = self._desk.book.find(ref.name)
        if found is not None:
            name, future = found
            content = self._client.sync(self._desk.ears.ask_holder, future, "content", name=name)
        if content is None:
            raise segments.gone(ref)
        return content


def _left(address: str, ref: Ref) -> NoReturn:
    raise segments.ObjectGoneError(
        f"An object of {ref.size:,d} bytes stayed behind with the Dask cluster at {address}, which this "
        "notebook has left. Take what is large along before, by .result(). After "
        f'cm.connect("dask", "{address}"), %mesh attach brings results that were not taken.'
    )
