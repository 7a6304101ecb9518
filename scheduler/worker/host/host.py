"""An actor's process, from the order to be it to its end.

Owns the object's making, who is heard, and whose turn it is: calls run in the order of their arrival, one
at a time, in the main thread. Never restarts anything: the hub starts the next process. Read next: `door.py`,
`callers.py`, `calling.py`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cellmesh.scheduler.objects import codec, namespaces
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.actors import ActorUp, HostActor
from cellmesh.scheduler.wire.direct import DIRECT, AskFacts, Call, CancelCall, Facts, Greet, Met, Took
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.messages import Interpreter, Payload
from cellmesh.scheduler.worker import surroundings
from cellmesh.scheduler.worker.descriptors import FdCapture
from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.logs import LogWriter
from cellmesh.scheduler.worker.runner import Runner
from cellmesh.scheduler.worker.shell import adopt

from .callers import Caller, Entry
from .calling import Calling
from .door import Door
from .living import Living
from .stopping import InMain


class Host:
    """Made in any thread; `serve` is the main thread's."""

    def __init__(
        self,
        order: HostActor,
        *,
        folder: Path,
        prefix: str,
        logs: str,
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
        self._address = str(folder / f"a{order.actor:x}-{order.incarnation}")
        self._label = f"actor {order.name!r}" if order.name else f"an actor (pid {os.getpid()})"
        self._queue: deque[Entry] = deque()
        self._callers: dict[str, Caller] = {}
        self._roads: dict[Framed, Caller] = {}
        self._stopped = threading.Event()
        self._door: Door | None = None

    def serve(self) -> None:
        """Be the actor until told to stop."""
        order = self._order
        system.name_process(f"cellmesh-{order.name or 'actor'}")
        runner = self._runner = Runner(
            number=None,
            label=self._label,
            prefix=self._prefix,
            emit=lambda output: None,
            report=lambda report: None,
            logs=LogWriter(self._logs, f"a{order.actor}"),
            interrupts=self._interrupts,
            capture=self._capture,
        )
        adopt(runner)
        self._living = Living("")
        self._calling = Calling(
            self._living, InMain(self._interrupts), self._label, self._prefix, runner.sources
        )
        try:
            self._make()
        except BaseException as error:  # noqa: BLE001 - whatever the class does, its starter is told
            failure = self._calling.failure(error)
            assert isinstance(failure, bytes)
            self._up(ActorUp(order.actor, order.incarnation, failure=failure))
            self._stopped.wait()
            return
        door = self._door = Door(self._address, self._hear, self._lost)
        self._up(ActorUp(order.actor, order.incarnation, self._address))
        try:
            while not self._stopped.is_set():
                self._turns()
                door.flush()
                door.wait(None)
        finally:
            door.close()
            runner.close()

    def stop(self) -> None:
        """Have `serve` return. Any thread."""
        self._stopped.set()
        if self._door is not None:
            self._door.wake()

    def _make(self) -> None:
        order = self._order
        if order.context:
            context = self._blobs[order.context]
            assert isinstance(context, bytes)
            surroundings.apply(msgspec.msgpack.decode(context, type=Interpreter))
        os.environ.update(order.options.env)
        kind = namespaces.loads(self._blobs[order.blob], self._runner.namespace)
        self._living.title = kind.__qualname__
        args, kwargs = codec.loads(order.payload)
        self._living.become(kind(*args, **kwargs))

    # --- turns -----------------------------------------------------------------------------------

    def _turns(self) -> None:
        queue = self._queue
        while queue and not self._stopped.is_set():
            self._calling.run(queue.popleft())

    # --- what callers say; in whichever thread reads ---------------------------------------------

    def _hear(self, road: Framed, messages: list[Any]) -> None:
        caller = self._roads.get(road)
        for message in messages:
            if type(message) is Call and caller is not None:
                entry = Entry(caller, message)
                caller.waiting[message.number] = entry
                self._queue.append(entry)
            elif type(message) is Greet:
                caller = self._greeted(road, message)
            elif caller is not None:
                self._told(caller, message)

    def _told(self, caller: Caller, message: Any) -> None:
        match message:
            case CancelCall(number):
                self._cancel(caller, number)
            case Took(_, names):
                caller.took(names)
            case AskFacts(request):
                running = sum(len(each.running) for each in self._callers.values())
                queued = sum(len(each.waiting) for each in self._callers.values())
                caller.say(Facts(request, self._calling.done, queued, running, 0, 0.0))

    def _greeted(self, road: Framed, greet: Greet) -> Caller:
        if greet.protocol != DIRECT:
            raise EOFError
        caller = self._callers.get(greet.caller)
        if caller is None:
            caller = self._callers[greet.caller] = Caller(greet.caller, greet.name, len(self._callers))
        caller.road = road
        self._roads[road] = caller
        names, streams, retry = self._living.described()
        caller.say(Met(self._order.actor, self._order.incarnation, names, streams, retry, []))
        return caller

    def _cancel(self, caller: Caller, number: int) -> None:
        if caller.waiting.pop(number, None) is not None:
            caller.answer(number, "cancelled")
        elif (entry := caller.running.get(number)) is not None:
            entry.cancelled = True
            if entry.stop is not None:
                entry.stop(entry)

    def _lost(self, road: Framed) -> None:
        caller = self._roads.pop(road, None)
        if caller is not None and caller.road is road:
            caller.gone()
