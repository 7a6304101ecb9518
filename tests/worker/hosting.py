"""A host in a process of its own, as a worker has it, and callers that speak the direct road's words.

Owns starting it, asking it and killing it. Nothing of the hub or the kernel is in it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec

from cellmesh.scheduler.objects import codec, makers
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.actors import ActorOptions, HostActor
from cellmesh.scheduler.wire.direct import (
    DIRECT,
    Answer,
    Call,
    FromHost,
    Greet,
    Met,
    More,
    Said,
    Took,
    Yielded,
)
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.messages import Ref

ROOT = Path(__file__).resolve().parents[2]
BOUND = 30.0

_PROCESS = """
import os, sys, threading
from pathlib import Path
sys.path.insert(0, {root!r})
import msgspec
from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.wire.actors import ActorUp, HostActor
from cellmesh.scheduler.worker import shell
from cellmesh.scheduler.worker.host.host import Host
from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.streams import FdCapture

answer, orders = os.dup(1), os.dup(0)
folder = Path({folder!r})
order = msgspec.msgpack.decode((folder / "order").read_bytes(), type=HostActor)
shell.prepare()
interrupts, capture = Interrupts(), FdCapture()
interrupts.install()
makers.open_maker({prefix!r}, folder / "spill")

def up(message):
    if type(message) is not ActorUp:
        return
    (folder / "failure").write_bytes(message.failure)
    os.write(answer, msgspec.json.encode([message.address, len(message.failure) > 0]) + b"\\n")

host = Host(order, folder=folder, prefix={prefix!r}, logs=str(folder), alone=[], interrupts=interrupts,
            capture=capture, blobs={{"class": (folder / "class").read_bytes()}}, up=up)
threading.Thread(target=lambda: host.stop(leaving=os.read(orders, 1) == b"l"), daemon=True).start()
host.serve()
makers.close_maker({prefix!r})
"""


class Hosted:
    """An actor's process, which may be started again and again in one `folder`."""

    def __init__(self, folder: Path, kind: type, *args: Any, **options: Any) -> None:
        self.folder = folder
        self.incarnation = 0
        (folder / "home").mkdir()
        cloudpickle.register_pickle_by_value(sys.modules[kind.__module__])
        (folder / "class").write_bytes(cloudpickle.dumps(kind))
        self._payload = codec.dumps((args, {}))
        self._options = ActorOptions(**options)
        self.begin()

    def begin(self) -> None:
        """Start the next incarnation."""
        self.incarnation += 1
        self.prefix = f"cm-host{self.folder.name[-8:]}-{self.incarnation}-"
        order = HostActor(
            actor=7,
            incarnation=self.incarnation,
            name="llm",
            blob="class",
            payload=self._payload,
            options=self._options,
            context="",
            home=str(self.folder / "home"),
        )
        (self.folder / "order").write_bytes(msgspec.msgpack.encode(order))
        code = _PROCESS.format(root=str(ROOT), folder=str(self.folder), prefix=self.prefix)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.address, self.failed = json.loads(self.process.stdout.readline() or '["", true]')

    def again(self) -> None:
        """Kill it, and start the next incarnation."""
        self.kill()
        self.begin()

    def failure(self) -> Any:
        """What its starter is told."""
        return codec.loads((self.folder / "failure").read_bytes())

    def kill(self) -> None:
        """As kill -9 does."""
        self.process.kill()
        self._closed()

    def stop(self) -> int:
        """As the hub's Stop does; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(BOUND)
        self._closed()
        return status

    def leave(self) -> int:
        """As SIGTERM and the hub's Stop do; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"l")
        return self.stop()

    def _closed(self) -> None:
        self.process.wait(BOUND)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        for segment in system.shared_memory_folder().glob(f"{self.prefix}*"):  # as the hub does
            segment.unlink()


def connected(address: str) -> socket.socket:
    """A connection on which nobody has greeted."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(address)
    return sock


def eventually(so: Callable[[], object]) -> None:
    """Ask again and again until it is so."""
    end = time.monotonic() + BOUND
    while not so():
        assert time.monotonic() < end, "what was waited for has not come"


class Line:
    """A caller. Answers are kept by number, items and output too."""

    def __init__(self, address: str, id: str = "caller") -> None:
        self.sock = connected(address)
        self.road = Framed(self.sock, FromHost)
        self.answers: dict[int, Answer] = {}
        self.items: dict[int, list[Any]] = {}
        self.said: list[tuple[int, str, str]] = []
        self.others: list[Any] = []
        self.met: Met | None = None
        self.freed: list[str] = []
        self.prefix = ""
        self.number = 0
        self.tell(Greet(DIRECT, id, id))
        self.until(lambda: self.met)
        assert self.met is not None
        self.number = self.met.heard  # numbers go on where it was before

    def tell(self, *messages: Any) -> None:
        for message in messages:
            self.road.post(message)
        self.road.send()

    def call(self, method: str, *args: Any, **kwargs: Any) -> int:
        return self.send(method, codec.dumps((args, kwargs)))

    def send(self, method: str, payload: Any, **options: Any) -> int:
        self.number += 1
        self.tell(Call(self.number, method, payload, **options))
        return self.number

    def stream(self, method: str, *args: Any, room: int = 100) -> int:
        return self.send(method, codec.dumps((args, {})), kind="stream", room=room)

    def more(self, number: int, items: int) -> None:
        self.tell(More(number, items))

    def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The value of a call; a failed one raises AssertionError with its text."""
        return self.value(self.call(method, *args, **kwargs))

    def value(self, number: int) -> Any:
        answer = self.answer(number)
        loaded = codec.loads(answer.payload) if answer.payload else None
        assert answer.state == "ok", getattr(loaded, "text", answer.state)
        self._took(answer.payload)
        return loaded

    def failure(self, number: int) -> Any:
        answer = self.answer(number)
        assert answer.state == "failed"
        return codec.loads(answer.payload)

    def answer(self, number: int) -> Answer:
        self.until(lambda: number in self.answers)
        return self.answers[number]

    def until(self, reached: Callable[[], object], bound: float = BOUND) -> None:
        """Read until this is so."""
        end = time.monotonic() + bound
        while not reached():
            full = [self.sock] if self.road.full else []
            ready = select.select([self.sock], full, [], max(0.0, end - time.monotonic()))
            assert any(ready), "the host has not said what was waited for"
            if self.road.full:
                self.road.send()
            for message in self.road.receive():
                self._heard(message)

    def segment(self, *args: Any) -> Ref:
        """Arguments in a segment of this caller's own."""
        self.prefix = f"cm-line{os.getpid():x}-1-"
        makers.open_maker(self.prefix, Path("/tmp"))
        payload = codec.dumps((args, {}), self.prefix)
        assert isinstance(payload, Ref)
        return payload

    def close(self) -> None:
        self.road.close()
        makers.close_maker(self.prefix)

    def __del__(self) -> None:
        self.close()

    def _took(self, payload: Any) -> None:
        if isinstance(payload, Ref):
            self.tell(Took([], [payload.name]))

    def _heard(self, message: Any) -> None:
        match message:
            case Met():
                self.met = message
            case Answer(number):
                assert number not in self.answers, f"{number} was answered twice"
                self.answers[number] = message
            case Yielded(number, payload, count):
                items = codec.loads(payload)
                assert len(items) == count
                self.items.setdefault(number, []).extend(items)
                self._took(payload)
            case Said(number, output):
                self.said.append((number, output.kind, output.text or bytes(output.data).decode()))
            case Took(_, names):
                makers.freed(names)
                self.freed += names
            case _:
                self.others.append(message)
