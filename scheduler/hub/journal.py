"""The hub's journal: everything that came in, so that a killed hub can be rebuilt.

Owns an append-only file of length-prefixed records. Never syncs it to disk: it must survive the death of the
hub, not of the machine. A burst of input is one write, made before the burst is acknowledged. When the file
has grown over `COMPACT_AT`, the shell writes its state as the first record of a new file. A disk that takes
no more is no reason to stop: `failure` says so, and the next `rewrite` that succeeds makes the journal whole.
Read next: `recovery.py`.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

COMPACT_AT = 256 << 20

_LENGTH = struct.Struct("<I")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One input: a frame from a peer, or something that the shell itself observed."""

    kind: Literal["frame", "timer", "client-lost", "worker-lost", "worker-paused", "recovered", "state"]
    at: float
    wall: float
    name: str  # the peer's identity, the timer, the client or the worker
    data: bytes = b""  # the frame, the reason, whether it is stopped, or the pickled state


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Journal:
    """Append with `add`, write with `flush`.

    The file may be torn at its end by the death that makes it needed: `read` cuts that off, or nothing
    that is appended later could be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._fd).st_size
        self.compacted = 0  # size after the last rewrite
        self.failure = ""  # why the disk takes no more; what came since is missing
        self._pending: list[bytes] = []

    def read(self) -> Iterator[Entry]:
        """All whole entries of a former life, oldest first."""
        data = self.path.read_bytes()
        offset = 0
        while len(data) - offset >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, offset)
            end = offset + _LENGTH.size + length
            if end > len(data):
                break
            yield _decode(data[offset + _LENGTH.size : end])
            offset = end
        if offset < len(data):
            os.ftruncate(self._fd, offset)
            self.size = offset

    def add(self, entry: Entry) -> None:
        """Queue an entry; it is in the file after the next flush."""
        data = _encode(entry)
        self._pending.append(_LENGTH.pack(len(data)))
        self._pending.append(data)

    def flush(self) -> None:
        """Write what was queued, in one call."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        if self.failure:
            return
        try:
            _write(self._fd, data)
        except OSError as error:
            self.failure = str(error.strerror)
            os.ftruncate(self._fd, self.size)  # or nothing after a half record could be read
            return
        self.size += len(data)

    def rewrite(self, state: Entry) -> bool:
        """Replace the whole journal by one entry that says where things stand; whether the disk took it."""
        fresh = self.path.with_suffix(".new")
        data = _encode(state)
        fd = -1
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _write(fd, _LENGTH.pack(len(data)) + data)
            fresh.replace(self.path)
        except OSError as error:  # the old file is still there, and open
            if fd >= 0:
                os.close(fd)
                fresh.unlink(missing_ok=True)
            self.compacted = self.size  # tried again when it has grown as much once more
            if self.failure:
                self.failure = str(error.strerror)
            return False
        os.close(self._fd)
        self._fd = fd
        self.size = self.compacted = len(data) + 4
        self.failure = ""
        self._pending.clear()
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
