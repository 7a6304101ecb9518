"""The log of calls, by which an actor that died ends in the exact state.

Owns the files `calls.<n>` in the actor's home: each call is appended before it runs, and a checkpoint
begins a new file. After a death, what was logged since the last checkpoint runs again, in the same order.
Never runs a call by itself. Read next: `checkpoints.py`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.objects.segments import ObjectGoneError
from cellmesh.scheduler.wire.direct import Call
from cellmesh.scheduler.wire.messages import Ref

LONG = 64 << 20
"""A log of so many bytes is worth a checkpoint, quiet or not."""

_LENGTH = struct.Struct("<I")
_NAME = 200  # bytes that the name of a call has room in


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """A call as it is in the log. `whole` is the content of a segment, which does not outlive its maker."""

    caller: str
    call: Call
    whole: bytes | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Logged).decode


class Log:
    """The log in this folder. It goes on in a new file, numbered `generation`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.generation = max(self._generations(), default=0) + 1
        self.size = 0
        self._fd = self._open(self.generation)
        ended = home / "ended"
        self._last_ended = ended.read_text().strip() if ended.exists() else ""
        self._ended = os.open(ended, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def begin_at(self, generation: int) -> None:
        """Nothing was logged yet, and a checkpoint from elsewhere says that what follows has this number."""
        if generation > self.generation:
            before, self.generation = self._path(self.generation), generation
            os.close(self._fd)
            before.unlink()
            self._fd = self._open(generation)

    def append(self, caller: str, call: Call) -> None:
        """This call is about to run."""
        whole = None
        if isinstance(call.payload, Ref):
            with suppress(ObjectGoneError):  # its caller was killed: the call fails, now and in a replay
                whole = bytes(segments.view(call.payload))
        data = _encode(Logged(caller, call, whole))
        data = _LENGTH.pack(len(data)) + data
        size = len(data)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            os.ftruncate(self._fd, self.size)  # half a call is none
            os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self.size += size

    def ended(self, caller: str, number: int) -> None:
        """This call is over: whatever the process dies of, it is not that."""
        os.pwrite(self._ended, f"{number} {caller}".encode().ljust(_NAME), 0)

    def has_ended(self, caller: str, number: int) -> bool:
        """Whether that was the last of which this was said, when we began."""
        return self._last_ended == f"{number} {caller}"

    def next_generation(self) -> int:
        """The state is about to be written down: what follows belongs to a new file, of this number."""
        fd = self._open(self.generation + 1)
        os.close(self._fd)
        self._fd = fd
        self.generation += 1
        self.size = 0
        return self.generation

    def forget(self, generation: int) -> None:
        """The state was written down: files before this one are not needed any more."""
        for number in self._generations():
            if number < generation:
                self._path(number).unlink()

    def since(self, generation: int) -> Iterator[Logged]:
        """What was logged from this file on, but for our own, in order."""
        for number in sorted(self._generations()):
            if generation <= number < self.generation:
                yield from _read(self._path(number))

    def _generations(self) -> list[int]:
        return [int(path.suffix[1:]) for path in self._home.glob("calls.*")]

    def _path(self, generation: int) -> Path:
        return self._home / f"calls.{generation}"

    def _open(self, generation: int) -> int:
        return os.open(self._path(generation), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _read(path: Path) -> Iterator[Logged]:
    data = path.read_bytes()
    offset = 0
    while len(data) - offset >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        if len(data) - offset < length:
            return  # its writer was killed over it, so it has not run
        yield _decode(data[offset : offset + length])
        offset += length
