"""An actor's process, from the order to be it to its end.

Owns the object's making, who is heard, and whose turn it is: calls run in the order of their arrival, one
at a time, in the main thread. Never restarts anything: the hub starts the next process. Read next: `door.py`,
`callers.py`, `calling.py`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from cellmesh.scheduler.objects import codec, namespaces
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.actors import ActorUp, HostActor
from cellmesh.scheduler.wire.direct import DIRECT, AskFacts, Call, CancelCall, Facts, Greet, Met, More, Took
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.messages import Interpreter, Output, Payload
from cellmesh.scheduler.worker import surroundings
from cellmesh.scheduler.worker.descriptors import FdCapture
from cellmesh.scheduler.worker.handover import await_memory
from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.logs import LogWriter
from cellmesh.scheduler.worker.runner import Runner
from cellmesh.scheduler.worker.shell import adopt

from . import memory, reloading
from .callers import Caller, Entry
from .calling import Calling
from .cells import Cells
from .door import Door
from .living import Living
from .stopping import InMain
from .turns import Turns
from .voices import Voices
from .watching import Watch


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
        up: Callable[[ActorUp], None],
    ) -> None:
        self._order = order
        self._blobs = blobs
        self._up = up
        self._prefix = prefix
        self._interrupts = interrupts
        self._capture = capture
        self._logs = logs
        self._alone = alone
        self._address = str(folder / f"a{order.actor:x}-{order.incarnation}")
        self._label = f"actor {order.name!r}" if order.name else f"an actor (pid {os.getpid()})"
        self._callers: dict[str, Caller] = {}
        self._roads: dict[Framed, Caller] = {}
        self._stopped = threading.Event()
        self._door: Door | None = None

    def serve(self) -> None:
        """Be the actor until told to stop."""
        order = self._order
        system.name_process(f"cellmesh-{order.name or 'actor'}")
        voices = self._voices = Voices(
            prefix=self._prefix,
            emit=self._cell_said,
            say=self._said,
            logs=LogWriter(self._logs, f"a{order.actor}"),
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
        living = self._living = Living("")
        calling = self._calling = Calling(
            living, voices, self._flush, self._label, self._prefix, runner.sources
        )
        try:
            self._make()
        except BaseException as error:  # noqa: BLE001 - whatever the class does, its starter is told
            runner.output.settle()
            failure = codec.dumps(calling.explained(error))
            assert isinstance(failure, bytes)  # as it has no prefix
            self._up(ActorUp(order.actor, order.incarnation, failure=failure))
            self._stopped.wait()
            return
        door = self._door = Door(self._address, self._hear, self._lost)
        stopping = InMain(self._interrupts)
        self._cells = Cells(runner, living, calling, stopping)
        turns = self._turns = Turns(
            calling,
            living,
            voices,
            stopping,
            door.flush,
            door.wait,
            self._other,
            order.options.threads,
        )
        turns.watch = Watch(door, self._flush_streams)
        self._up(ActorUp(order.actor, order.incarnation, self._address))
        try:
            while not self._stopped.is_set():
                turns.take()
                door.flush()
                door.wait(None)
        finally:
            calling.overlapping.close()
            door.close()
            runner.close()

    def stop(self, *, leaving: bool = False) -> None:
        """Have `serve` return. Any thread."""
        self._stopped.set()
        if self._door is not None:
            self._turns.stopped = True
            self._door.wake()

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
        self._living.become(kind(*args, **kwargs))

    # --- what is no call -------------------------------------------------------------------------

    def _other(self, entry: Entry) -> None:
        match entry.call.kind:
            case "cell":
                self._cells.run(entry)
            case "reload":
                self._aside(entry, self._reload)
            case _:
                self._aside(entry, self._save)

    def _aside(self, entry: Entry, work: Callable[[Entry], Any]) -> None:
        try:
            value = work(entry)
        except BaseException as error:  # noqa: BLE001 - it runs code of the user's class
            self._calling.failed(entry, error)
        else:
            self._calling.answered(entry, codec.dumps(value))

    def _reload(self, entry: Entry) -> None:
        reloading.reload(self._living, entry.call.payload, self._runner.namespace)
        for caller in list(self._callers.values()):
            self._meet(caller)

    def _save(self, entry: Entry) -> int:
        raise NotImplementedError

    # --- what the actor says ---------------------------------------------------------------------

    def _said(self, entry: Entry, output: Output) -> None:
        entry.caller.said(entry.call.number, output)
        self._flush()

    def _cell_said(self, output: Output) -> None:
        entry = self._voices.in_main
        if entry is not None:
            self._said(entry, output)

    def _flush(self) -> None:
        if self._door is not None:
            self._door.flush()

    def _flush_streams(self) -> bool:
        """While a method runs for long: send what its stream has gathered; whether it is one."""
        entry = self._voices.in_main
        stream = None if entry is None else entry.stream
        if stream is not None and stream.waits:
            with suppress(Exception):  # what cannot be pickled the main thread meets again
                stream.send()
        self._flush()
        return stream is not None

    # --- what callers say; in whichever thread reads ---------------------------------------------

    def _hear(self, road: Framed, messages: list[Any]) -> None:
        caller = self._roads.get(road)
        waiting = self._turns.waiting
        for message in messages:
            if type(message) is Call and caller is not None:
                entry = Entry(caller, message)
                caller.waiting[message.number] = entry
                waiting.append(entry)
            elif type(message) is Greet:
                caller = self._greeted(road, message)
            elif caller is not None:
                self._told(caller, message)

    def _told(self, caller: Caller, message: Any) -> None:
        match message:
            case CancelCall(number):
                self._cancel(caller, number)
            case More(number, items):
                if (entry := caller.running.get(number)) is not None and entry.stream is not None:
                    self._room(entry, items)
            case Took(_, names):
                caller.took(names)
            case AskFacts(request):
                running = sum(len(each.running) for each in self._callers.values())
                queued = sum(len(each.waiting) for each in self._callers.values())
                caller.say(Facts(request, self._calling.done, queued, running, memory.held(), 0.0))

    def _greeted(self, road: Framed, greet: Greet) -> Caller:
        if greet.protocol != DIRECT:
            raise EOFError
        caller = self._callers.get(greet.caller)
        if caller is None:
            caller = self._callers[greet.caller] = Caller(greet.caller, greet.name, len(self._callers))
        caller.road = road
        self._roads[road] = caller
        self._meet(caller)
        return caller

    def _meet(self, caller: Caller) -> None:
        names, streams, retry = self._living.described()
        caller.say(Met(self._order.actor, self._order.incarnation, names, streams, retry, []))

    def _cancel(self, caller: Caller, number: int) -> None:
        if caller.waiting.pop(number, None) is not None:
            caller.answer(number, "cancelled")
        elif (entry := caller.running.get(number)) is not None:
            entry.cancelled = True
            if entry.stop is not None:
                entry.stop(entry)
            if entry.stream is not None and entry.stream.wake is None:
                self._room(entry, 0)

    def _room(self, entry: Entry, items: int) -> None:
        """A stream may go on, or must be closed."""
        stream = entry.stream
        if stream.add_room(items):
            if stream.wake is not None:
                stream.wake()
            else:
                self._turns.waiting.append(entry)

    def _lost(self, road: Framed) -> None:
        caller = self._roads.pop(road, None)
        if caller is not None and caller.road is road:
            caller.gone()
            for number, entry in list(caller.running.items()):
                if entry.stream is not None:
                    self._cancel(caller, number)  # nobody takes its items
