"""An actor's process, from the order to be it to its end.

Owns the object's making or its return, and what the main thread does when no call has its turn. Never
restarts anything: the hub starts the next process. Read next: `hearing.py`, `turns.py`, `calling.py`,
`lasting.py`.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from cellmesh.scheduler.objects import borrowing, codec, namespaces, shelf
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.actors import ActorSaved, ActorUp, HostActor
from cellmesh.scheduler.wire.direct import Said
from cellmesh.scheduler.wire.messages import Interpreter, Output, Payload
from cellmesh.scheduler.worker import surroundings, tracking
from cellmesh.scheduler.worker.descriptors import FdCapture
from cellmesh.scheduler.worker.handover import await_memory
from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.logs import LogWriter
from cellmesh.scheduler.worker.runner import Runner
from cellmesh.scheduler.worker.shell import adopt

from .asides import Asides
from .birth import Birth
from .borrowers import Borrower
from .callers import Entry
from .calling import Calling
from .cells import Cells
from .deadly import DeadlyCallError
from .door import Door
from .far import Far
from .hearing import Hearing
from .lasting import Lasting
from .leisure import Leisure
from .living import Living
from .stopping import InMain
from .turns import Turns
from .voices import Voices
from .watching import Watch

_NO_REPLAY = (
    "An actor with replay=True cannot be given what lies in another's GPU memory: that would not be there "
    "when its calls are run again. Pass .cpu() of it."
)
_DEADLY = (
    "{} killed the actor's process, and did so again when it was run again after the restart (replay=True). "
    "It is left out: the state is as without it."
)


T = TypeVar("T")


class Host:
    """Made in any thread; `serve` is the main thread's."""

    def __init__(
        self,
        order: HostActor,
        *,
        folder: Path,
        prefix: str,
        logs: str,
        alone: list[str],
        interrupts: Interrupts,
        capture: FdCapture,
        blobs: Mapping[str, Payload],
        up: Callable[[ActorUp | ActorSaved], None],
    ) -> None:
        self.cores = max(1, int(order.options.cpus))  # that its libraries may use
        self._order = order
        self._blobs = blobs
        self._up = up
        self._prefix = prefix
        self._interrupts = interrupts
        self._capture = capture
        self._log = LogWriter(logs, f"a{order.actor}")
        self._alone = alone
        self._address = str(folder / f"a{order.actor:x}-{order.incarnation}")
        self._label = f"actor {order.name!r}" if order.name else f"an actor (pid {os.getpid()})"
        self._stopped = threading.Event()
        self._leaving = False
        self._door: Door | None = None
        self._troubles: set[str] = set()

    def serve(self) -> None:
        """Be the actor until told to stop."""
        order = self._order
        system.name_process(f"cellmesh-{order.name or 'actor'}")
        self._settle_in()
        try:
            self._make()
            self._replay()
        except BaseException as error:  # noqa: BLE001 - whatever the class does, its starter is told
            self._voices.settle()
            failure = codec.dumps(self._calling.explained(error))
            assert isinstance(failure, bytes)  # as it has no prefix
            self._up(ActorUp(order.actor, order.incarnation, failure=failure))
            self._stopped.wait()
            return
        door = self._door = Door(self._address, self._hearing.hear, self._hearing.lost, self._trouble)
        self._leisure.door = door
        self._turns.open(door, Watch(door, self._send_streams, self._trouble))
        self._up(ActorUp(order.actor, order.incarnation, self._address))
        try:
            while not self._stopped.is_set():
                self._turns.take()
                door.flush()
                door.wait(self._leisurely(self._leisure.rest), self._turns.waiting)
                self._leisurely(self._leisure.rested)
        finally:
            self._leave()
            door.close()

    def stop(self, *, leaving: bool = False) -> None:
        """Have `serve` return; if its machine goes away, its state is written first. Any thread."""
        self._leaving = leaving
        self._stopped.set()
        if self._door is not None:
            self._turns.stop(interrupt=not leaving)
            self._door.end()

    # --- the beginning ---------------------------------------------------------------------------

    def _settle_in(self) -> None:
        order = self._order
        voices = self._voices = Voices(
            prefix=self._prefix,
            emit=self._cell_said,
            say=self._said,
            logs=self._log,
            interrupts=self._interrupts,
            capture=self._capture,
        )
        runner = self._runner = Runner(
            number=None,
            label=self._label,
            prefix=self._prefix,
            emit=lambda progress: None,
            report=lambda report: self._cells.reported(report),
            output=voices,
            interrupts=self._interrupts,
            capture=self._capture,
        )
        adopt(runner)
        voices.install(runner.streams)
        tracking.stand_in(Far(voices, self._flush))
        prefix = "" if order.options.replay else self._prefix  # a segment would not outlive the process
        living = self._living = Living("")
        calling = self._calling = Calling(living, voices, self._flush, self._label, prefix, runner.sources)
        stopping = self._stopping = InMain(self._interrupts)
        self._cells = Cells(runner, living, calling, stopping)
        self._lasting = Lasting(order, living, self._note, lambda at: self._up(ActorSaved(order.actor, at)))
        self._turns = Turns(
            calling,
            living,
            voices,
            stopping,
            lambda entry: self._asides.run(entry),
            lambda: self._leisure.between(),
            order.options.threads,
        )
        self._hearing = Hearing(
            (order.actor, order.incarnation),
            living,
            self._lasting,
            self._turns,
            lambda asked: self._asides.facts(asked),
            lambda road: Borrower(road, shelf.here, self._prefix),
        )
        meet_all, namespace = self._hearing.meet_all, runner.namespace
        self._leisure = Leisure(calling, self._lasting, self._hearing, self._turns)
        self._asides = Asides(self._cells, stopping, calling, living, self._lasting, meet_all, namespace)
        if order.options.replay:
            borrowing.refused = _NO_REPLAY
        else:
            calling.shelf = shelf.here = shelf.Shelf(self._address, self._label)

    def _make(self) -> None:
        order = self._order
        if order.context:
            context = self._blobs[order.context]
            assert isinstance(context, bytes)
            surroundings.apply(msgspec.msgpack.decode(context, type=Interpreter))
        os.environ.update(order.options.env)
        if self._alone:
            await_memory(self._alone, self._voices.note, self._interrupts.check)
        kind = namespaces.loads(self._blobs[order.blob], self._runner.namespace)
        self._living.title = kind.__qualname__
        args, kwargs = codec.loads(order.payload)
        birth, voices = Birth(), self._voices
        voices.in_main = birth.entry
        try:
            thing = self._lasting.restored(kind, args, kwargs)
            self._living.become(kind(*args, **kwargs) if thing is None else thing)
        finally:
            voices.over(birth.entry)
            voices.in_main = None
        if order.incarnation == 1:
            self._hearing.birth = birth

    def _replay(self) -> None:
        cut = False
        for entry, left_out in self._lasting.missed():
            if left_out:
                cut = True  # no log leads to the state any more
                told = _DEADLY.format(entry.call.method)
                self._calling.failed(entry, DeadlyCallError(told))
                self._hearing.birth = birth = Birth()  # its caller may be gone: whoever comes is told
                birth.say(Said(0, Output(0, 0, None, "note", told)))
            else:
                self._turns.again(entry)
        self._calling.cut = cut

    def _leisurely(self, what: Callable[[], T]) -> T | None:
        try:
            return what()
        except Exception as error:  # noqa: BLE001 - it is told; the next call has its turn
            self._trouble("what is done between calls failed", error)
            return None

    def _leave(self) -> None:
        self._calling.overlapping.close()
        checkpoints = self._lasting.checkpoints
        checkpoints.close()
        if self._leaving and checkpoints.background:
            checkpoints.save_if_possible()
        self._runner.close()
        self._log.close()

    # --- what the actor says ---------------------------------------------------------------------

    def _said(self, entry: Entry, output: Output) -> None:
        entry.caller.said(entry.call.number, output)
        self._flush()

    def _cell_said(self, output: Output) -> None:
        entry = self._voices.in_main
        if entry is not None:
            self._said(entry, output)

    def _note(self, text: str) -> None:
        self._hearing.tell_all(Said(0, Output(0, 0, None, "note", text)))
        self._flush()

    def _trouble(self, what: str, error: Exception) -> None:
        """Something of our own went wrong: people are told once, and the log has where. Any thread."""
        told = f"In the process of {self._label} {what} ({type(error).__name__}: {error})."
        if told not in self._troubles:
            self._troubles.add(told)
            with self._voices.lock:
                self._log.write(None, None, "note", "".join([told, "\n", *traceback.format_exception(error)]))
                self._log.flush()
            self._note(told)

    def _flush(self) -> None:
        door = self._door
        if door is None:
            return
        door.flush()
        if self._lasting.checkpoints.background and threading.current_thread() is not threading.main_thread():
            door.wake()  # it may be quiet now

    def _send_streams(self) -> bool:
        """While a method runs for long: send what its stream has gathered; whether it is one."""
        entry = self._voices.in_main
        stream = None if entry is None else entry.stream
        if stream is not None and stream.waits:
            with suppress(Exception):  # what cannot be pickled the main thread meets again
                stream.send()
        if self._door is not None:
            self._door.flush()
        return stream is not None
