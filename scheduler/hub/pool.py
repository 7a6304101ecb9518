"""The hub's side of the nursery: which interpreter a session uses, and orders for processes.

Owns templates' digests and the control channel. Never decides how many workers there are: the core does.
Read next: `../nursery/nursery.py`.
"""

import hashlib
import socket

import msgspec

from cellmesh.scheduler.core.ids import WorkerId
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.control import (
    Channel,
    Children,
    EnsureTemplate,
    KeepTemplates,
    KillProcess,
    ProcessEnded,
    ProcessPaused,
    ProcessStarted,
    StartProcess,
    ToHubControl,
    WorkerSpec,
)
from cellmesh.scheduler.wire.messages import Interpreter

_STARTUP = ("PYTHON", "LD_", "DYLD_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "CELLMESH_START")
"""Variables that matter when an interpreter starts; the others are applied to each worker after the fork."""

Fact = ProcessStarted | ProcessEnded | ProcessPaused | Children


class Pool:
    def __init__(self, channel: socket.socket) -> None:
        self._channel: Channel[Fact] = Channel(channel, ToHubControl)
        self._ensured: set[str] = set()
        self.pids: dict[WorkerId, int] = {}

    def fileno(self) -> int:
        return self._channel.fileno()

    def facts(self, *, wait: bool = False) -> list[Fact]:
        """What the nursery has told; raises EOFError if it is gone."""
        return self._channel.receive(wait=wait)

    def ensure(self, interpreter: Interpreter) -> str:
        """Have a template for this interpreter (it starts now, in parallel); returns its digest."""
        digest = template_digest(interpreter)
        if digest not in self._ensured:
            self._ensured.add(digest)
            method = interpreter.environ.get("CELLMESH_START_METHOD", "fork" if system.LINUX else "spawn")
            self._channel.send(EnsureTemplate(digest, interpreter, method != "spawn"))
        return digest

    def keep(self, templates: set[str]) -> None:
        """No other templates are used any more."""
        self._ensured &= templates
        self._channel.send(KeepTemplates(sorted(templates)))

    def start(self, template: str, spec: WorkerSpec) -> None:
        """Start a worker process."""
        self._channel.send(StartProcess(template, spec))

    def kill(self, worker: WorkerId) -> None:
        """Kill a worker process."""
        self._channel.send(KillProcess(worker))


def template_digest(interpreter: Interpreter) -> str:
    """Equal for interpreters that can share a template. The path is no part of it: jobs bring their own."""
    environ = {k: v for k, v in sorted(interpreter.environ.items()) if k.startswith(_STARTUP)}
    identity = msgspec.msgpack.encode((interpreter.executable, environ))
    return hashlib.blake2b(identity, digest_size=8).hexdigest()
