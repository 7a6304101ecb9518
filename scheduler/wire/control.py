"""What hub, nursery and templates say to each other, over stream sockets that they inherit.

Owns the messages and their framing. Never imports zmq: the nursery stays small.
Read next: `../nursery/nursery.py`.
"""

import socket
import struct
from typing import Any, Generic, TypeVar

import msgspec

from .messages import Interpreter

M = TypeVar("M")

THREAD_CAPS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
"""Hold libraries that would start a thread a core to the cores of one task."""

_LENGTH = struct.Struct("<I")
_encode = msgspec.msgpack.Encoder().encode


class Control(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Base of all control messages."""


class WorkerSpec(Control, frozen=True):
    """All that a new worker process must know."""

    worker: int
    number: int | None
    address: str
    prefix: str  # of its shared-memory segments
    logs: str  # folder of its session's logs
    gpus: list[str]
    alone: list[str] = []  # those of its GPUs that no other worker shares
    spill: str = ""  # folder of objects that do not fit into shared memory


# hub -> nursery


class StartProcess(Control, frozen=True):
    """Fork a worker from the template of this interpreter (known by digest)."""

    template: str
    spec: WorkerSpec


class EnsureTemplate(Control, frozen=True):
    digest: str
    interpreter: Interpreter
    fork: bool  # false: start workers from nothing, each in an interpreter of its own


class KeepTemplates(Control, frozen=True):
    """No session uses others: end them, each after the forks that it has been asked for."""

    digests: list[str]


class KillProcess(Control, frozen=True):
    worker: int


# nursery -> hub


class ProcessStarted(Control, frozen=True):
    worker: int
    pid: int


class ProcessEnded(Control, frozen=True):
    worker: int
    why: str
    peak: int = 0  # the most bytes that it had in memory at once


class ProcessPaused(Control, frozen=True):
    """The worker's process was stopped (SIGSTOP), or goes on."""

    worker: int
    paused: bool


class Children(Control, frozen=True):
    """First message to a hub that was restarted: (worker, pid) of all that live; 0: being forked."""

    living: list[tuple[int, int]]


# nursery <-> template


class Fork(Control, frozen=True):
    spec: WorkerSpec


class Forked(Control, frozen=True):
    worker: int
    pid: int


ToNursery = StartProcess | EnsureTemplate | KeepTemplates | KillProcess
ToHubControl = ProcessStarted | ProcessEnded | ProcessPaused | Children
ToTemplate = Fork
FromTemplate = Forked


class Channel(Generic[M]):
    """One end of a stream of control messages; reads never block, writes may."""

    def __init__(self, sock: socket.socket, accepts: Any) -> None:
        self._socket = sock
        self._decode = msgspec.msgpack.Decoder(accepts).decode
        self._buffer = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Send one message; raises OSError if the other end is gone."""
        data = _encode(message)
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self, *, wait: bool = False) -> list[M]:
        """Messages that have come; raises EOFError when the other end is gone."""
        try:
            data = self._socket.recv(1 << 20, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        self._buffer += data
        messages: list[M] = []
        offset = 0
        while len(self._buffer) - offset >= 4:
            (length,) = _LENGTH.unpack_from(self._buffer, offset)
            if len(self._buffer) - offset - 4 < length:
                break
            messages.append(self._decode(self._buffer[offset + 4 : offset + 4 + length]))
            offset += 4 + length
        self._buffer = self._buffer[offset:]
        return messages

    def close(self) -> None:
        self._socket.close()
