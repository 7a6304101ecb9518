"""Everything that workers printed, into segment files, up to a cap.

Owns the writing of a session's log folder. Never fails a task: when the disk is full it stops, and says so
once. Read next: `../objects/logbook.py` (their form), `output.py`.
"""

import time
from pathlib import Path
from typing import BinaryIO

import msgspec

from cellmesh.scheduler.objects.logbook import LENGTH, log_files, slug

_FLUSH = 64 * 1024
SEGMENT = 8 * 1024 * 1024
CAP = 1024**3


class LogWriter:
    """Writes one worker's log. Calls come under the output's lock, so it needs none of its own."""

    def __init__(self, folder: str | Path, worker_label: str, cap: int = CAP, segment: int = SEGMENT) -> None:
        self._folder = Path(folder)
        self._name = slug(worker_label)
        self._cap = cap
        self._segment = segment
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._written = 0
        self._file: BinaryIO | None = None
        self.trouble = ""  # why logging stopped, once it has

    def write(self, job: int | None, task: int | None, stream: str, text: str) -> None:
        """Add a record."""
        if self.trouble:
            return
        try:
            record = self._encoder.encode((time.time(), job, task, stream, text))
        except UnicodeEncodeError:  # a lone surrogate, as undecodable file names have
            text = text.encode("utf-8", "backslashreplace").decode()
            record = self._encoder.encode((time.time(), job, task, stream, text))
        self._buffer.append(LENGTH.pack(len(record)))
        self._buffer.append(record)
        self._buffered += len(record) + LENGTH.size
        if self._buffered >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        try:
            if self._file is None or self._written >= self._segment:
                dropped = self._next_segment()
                if dropped:
                    text = f"{dropped:,} bytes of older logs were dropped: the cap is {self._cap:,} bytes.\n"
                    note = self._encoder.encode((time.time(), None, None, "note", text))
                    data = LENGTH.pack(len(note)) + note + data
            assert self._file is not None
            view = memoryview(data)
            while len(view):  # an unbuffered file may take less than it is given
                view = view[self._file.write(view) :]
            self._written += len(data)
        except OSError as error:
            self.trouble = f"This worker's log stopped: {error.strerror or error} ({self._folder})."
            self._forget_file()

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self._forget_file()

    def _forget_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _next_segment(self) -> int:
        """Open a new file, deleting the oldest ones beyond the cap; returns how many bytes went."""
        self._forget_file()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        segments = log_files(self._folder)
        number = max((n for name, n, _ in segments if name == self._name), default=0) + 1
        known = []
        for _, _, path in segments:
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another worker of the session deleted it just now
            known.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in known) + self._segment
        dropped = 0
        for _, size, path in sorted(known):
            if total <= self._cap:
                break
            path.unlink(missing_ok=True)
            total -= size
            dropped += size
        self._file = open(self._folder / f"{self._name}.{number}.log", "xb", buffering=0)  # noqa: SIM115
        self._written = 0
        return dropped
