"""Actors as the code inside a cluster's processes finds them: under the hub of its own host, or far away.

Owns the questions to the gate of this host, which knows the actors of the whole cluster, and which of these
are far: arguments for them must not lie in this host's memory. Never sees a call: these go to a socket here,
from which the gate forwards them. Read next: `embedded_actors.py`, `dask/gate.py` (the other end).
"""

import itertools
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire import actors as wire
from cellmesh.scheduler.wire.messages import Ref, Wire

from .contract import EngineError
from .embedded_actors import EmbeddedActors
from .questions import Questions

_LENGTH = struct.Struct("<I")
_SECONDS = 30.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(wire.FromGate).decode


class FarActors(EmbeddedActors):
    """Of one client. `gate` is the socket of the gate."""

    def __init__(self, questions: Questions, post: Callable[[Wire], None], gate: Path) -> None:
        super().__init__(questions, post)
        self._path = gate
        self._gate: socket.socket | None = None
        self._turn = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._far: set[int] = set()
        self._prefixes: set[str] = set()

    def abroad(self, info: wire.ActorInfo) -> wire.ActorInfo:
        return unreached(info)

    def is_far(self, actor: int) -> bool:
        return actor in self._far

    def find(self, name: str, actor: int = 0) -> wire.ActorAnswer:
        """Here, or else anywhere."""
        near = super().find(name, actor)
        if near.actor is not None and near.actor.state != "ended":
            return near
        far: wire.ActorAnswer = self._wait(lambda n: wire.FindActor(n, name, actor))
        return near if far.actor is None and near.actor is not None else far

    def all(self) -> list[wire.ActorInfo]:
        """Of this session here, and those that its notebook has anywhere."""
        near = super().all()
        known = {info.id for info in near}
        answer: wire.Actors = self._wait(wire.ListActors)
        return [*near, *(info for info in answer.actors if info.id not in known)]

    def end(self, actor: int, why: str) -> None:
        """It is not wanted any more."""
        if actor in self._far:
            self._say(wire.EndActor(actor, why))
        else:
            super().end(actor, why)

    def told(self, info: wire.ActorInfo) -> bool:
        """The hub here has said how it is; of one that it does not know, or that has moved, the gate does."""
        super().told(info)
        if info.state == "ended" and (not info.title or info.why.startswith(wire.MOVED)):
            with suppress(EngineError):  # the gate is gone, and all on this host with it
                self._say(wire.FollowActor(info.id))
                return False
        return True

    def close(self) -> None:
        """This process leaves the session."""
        with self._turn:
            gate, self._gate = self._gate, None
        if gate is not None:
            gate.shutdown(socket.SHUT_RDWR)
        for prefix in self._prefixes:
            segments.nowhere(prefix)

    # --- the gate -----------------------------------------------------------------------------------

    def _wait(self, make: Callable[[int], Wire]) -> Any:
        number, there, found = next(self._numbers), threading.Event(), []  # type: ignore[var-annotated]
        self._waiting[number] = there, found
        try:
            self._say(make(number))
            if not there.wait(_SECONDS) or not found:
                raise EngineError("The Dask worker on this host does not answer: is it closing?")
            return found[0]
        finally:
            del self._waiting[number]

    def _say(self, message: Wire) -> None:
        data = _encode(message)
        with self._turn:
            if self._gate is None:
                self._gate = self._entered()
            try:
                self._gate.sendall(_LENGTH.pack(len(data)) + data)
            except OSError as error:
                raise EngineError(f"The Dask worker on this host is gone ({error}).") from None

    def _entered(self) -> socket.socket:
        gate = socket.socket(socket.AF_UNIX)
        try:
            gate.connect(str(self._path))
        except OSError as error:
            gate.close()
            raise EngineError(f"The Dask worker on this host is gone ({error}).") from None
        greeting = _encode(wire.EnterGate(self.session))
        gate.sendall(_LENGTH.pack(len(greeting)) + greeting)
        threading.Thread(target=self._listen, args=(gate,), name="cellmesh-gate", daemon=True).start()
        return gate

    def _listen(self, gate: socket.socket) -> None:
        with gate, gate.makefile("rb") as file:
            while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
                self._heard(_decode(file.read(_LENGTH.unpack(head)[0])))
        for there, _ in list(self._waiting.values()):
            there.set()

    def _heard(self, message: wire.FromGate) -> None:
        match message:
            case wire.FarActor(info, prefix):
                if prefix:
                    self._far.add(info.id)
                    self._prefixes.add(prefix)
                    segments.elsewhere(prefix, self._read)
                elif info.state == "alive":
                    self._far.discard(info.id)
                self.sink(info)
            case wire.ActorAnswer() | wire.Actors() | wire.FarObject():
                waits = self._waiting.get(message.request)
                if waits is not None:
                    waits[1].append(message)
                    waits[0].set()

    def _read(self, ref: Ref) -> bytes | None:
        answer: wire.FarObject = self._wait(lambda n: wire.ReadFar(n, ref.name, ref.size))
        return answer.data


def unreached(info: wire.ActorInfo) -> wire.ActorInfo:
    """Without the address: whoever gets it asks for one that means something there."""
    return msgspec.structs.replace(info, address="", state="starting") if info.address else info
