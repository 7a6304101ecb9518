"""Actors as a client of the hub starts them, and what tests let them do.

Owns no fixture. Calls, which are none of the hub's business, are made by hand over the actor's own socket.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import threading
import time
from typing import Any

from conformance.recording import DEADLINE, Desk

from cellmesh.kernel.actors.marks import batch
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.messages import ActorAnswer, ActorInfo, ActorOptions, StartActor

_serials = itertools.count(1)


class Counter:
    """Remembers one number (or something large)."""

    def __init__(self, first: Any = 0) -> None:
        self.value = first

    def size(self) -> int:
        """Of what it was started with."""
        return len(self.value)

    def add(self, more: int) -> int:
        self.value += more
        return self.value

    @batch(max_size=4)
    def shares(self, parts: list[float]) -> list[float | Exception]:
        """Of the number, one for each call; or what keeps it from that."""
        return [self.value / part if part else ZeroDivisionError("no parts") for part in parts]

    @batch
    async def halves(self, numbers: list[float], ways: list[int]) -> list[float]:
        """As many as `ways`: right if that is one for each call."""
        return [number / 2 for number in numbers][: ways[0]]

    def where(self) -> tuple[int, str, str]:
        """Its process, a variable of its surroundings, and its devices."""
        return os.getpid(), os.environ.get("FLAVOUR", ""), os.environ.get("CUDA_VISIBLE_DEVICES", "")

    def threads(self) -> str:
        """How many a library may start."""
        return os.environ["OMP_NUM_THREADS"]

    def shout(self, text: str) -> None:
        print(text, flush=True)

    def lock(self) -> None:
        """From now on its state cannot be pickled."""
        self.held = threading.Lock()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Broken:
    def __init__(self) -> None:
        raise ValueError("no model at this path")


def ask(desk: Desk, kind: type, *args: Any, **options: Any) -> ActorAnswer:
    """Start one, as `kind.start(*args)` does."""
    return desk.engine.actors.start(request(desk, kind, *args, **options))


def request(
    desk: Desk, kind: type, *args: Any, name: str = "", same: str = "1", replace: bool = False, **options: Any
) -> StartActor:
    """What `ask` asks."""
    return StartActor(
        0,
        desk.engine.new_job_id(),
        name,
        kind.__name__,
        same,
        desk.blob(kind),
        codec.dumps((args, {})),
        ActorOptions(**options),
        replace=replace,
    )


def start(desk: Desk, kind: type = Counter, *args: Any, **options: Any) -> ActorInfo:
    """Start one, and wait until it answers calls."""
    answer = ask(desk, kind, *args, **options)
    assert answer.actor is not None, answer.why
    if answer.actor.state == "alive":  # in this process there is nothing to wait for
        return answer.actor
    return alive(desk, answer.actor.id)


def alive(desk: Desk, actor: int, incarnation: int = 1) -> ActorInfo:
    """How it is once it answers calls, in this life of its."""

    def there() -> ActorInfo | None:
        told = desk.told.actors(actor)
        fit = [info for info in told if info.state == "alive" and info.incarnation >= incarnation]
        return fit[-1] if fit else None

    found: ActorInfo = desk.told.wait(there, f"life {incarnation} of actor {actor}")
    return found


def waiting(desk: Desk, actor: int) -> ActorInfo:
    """How it is once it is told what it waits for."""

    def waits() -> ActorInfo | None:
        return next((info for info in desk.told.actors(actor) if info.state == "waiting" and info.why), None)

    found: ActorInfo = desk.told.wait(waits, f"what actor {actor} waits for")
    return found


def ended(desk: Desk, actor: int) -> ActorInfo:
    """How it ended."""

    def over() -> ActorInfo | None:
        return next((info for info in desk.told.actors(actor) if info.state == "ended"), None)

    found: ActorInfo = desk.told.wait(over, f"the end of actor {actor}")
    return found


class Caller:
    """One caller of one actor, by hand."""

    def __init__(self, info: ActorInfo) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(info.address)
        self._road = Framed(self._socket, direct.FromHost)
        self._numbers = itertools.count(1)
        self._say(direct.Greet(direct.DIRECT, f"test-{os.getpid()}-{next(_serials)}", "a test"))
        self.met = self._hear(direct.Met)

    def _say(self, message: Any) -> None:
        self._road.post(message)
        self._road.send()

    def _hear(self, kind: type) -> Any:
        deadline = time.monotonic() + DEADLINE
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0]:
                for message in self._road.receive():
                    if isinstance(message, kind):
                        return message
        raise AssertionError(f"no {kind.__name__} within {DEADLINE:g} s")

    def call(self, method: str, *args: Any, kind: Any = "call") -> Any:
        """Call it, and wait for the answer."""
        self.begin(method, *args, kind=kind)
        answer = self._hear(direct.Answer)
        value = codec.loads(answer.payload)
        assert answer.state == "ok", value
        return value

    def begin(self, method: str, *args: Any, kind: Any = "call") -> None:
        """Call it, and do not wait."""
        self._say(direct.Call(next(self._numbers), method, codec.dumps((args, {})), kind))

    def until_busy(self) -> None:
        """Wait until a call runs."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            self._say(direct.AskFacts(next(self._numbers)))
            if self._hear(direct.Facts).running:
                return
        raise AssertionError("nothing runs")

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._road.close()


def local(desk: Desk, info: ActorInfo, method: str, *args: Any, kind: Any = "call") -> Any:
    """One call, also of an actor that lives in this process."""
    here = desk.engine.actors.local(info.id)
    if here is None:
        return once(info, method, *args, kind=kind)
    said: list[Any] = []
    here.take(direct.Call(1, method, codec.dumps((args, {})), kind), said.append)
    (answer,) = said
    assert answer.state == "ok", codec.loads(answer.payload)
    return codec.loads(answer.payload)


def once(info: ActorInfo, method: str, *args: Any, kind: Any = "call") -> Any:
    """One call of a caller that has no others."""
    with Caller(info) as caller:
        return caller.call(method, *args, kind=kind)
