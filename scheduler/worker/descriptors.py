"""File descriptors 1 and 2 of a worker: what C code and subprocesses print.

Owns two pipes in the place of stdout and stderr. Never blocks: `pump` is called when a pipe is readable
(from the IO thread), `drain` when a task's output must be complete. Read next: `output.py`.
"""

import codecs
import ctypes
import fcntl
import os
import select
import threading

from .excerpt import Stream
from .output import TaskOutput

_ROOM = 1024 * 1024  # C code that prints while it holds the GIL fills the pipe before anyone can read it
_READ = 64 * 1024


class FdCapture:
    """Takes descriptors 1 and 2 over for the life of the process (or until `close`)."""

    def __init__(self) -> None:
        self._output: TaskOutput | None = None
        self._lock = threading.RLock()  # the output's own, once there is one
        self._libc = ctypes.CDLL(None)
        self._pipes: dict[int, Stream] = {}
        self._decoders: dict[int, codecs.IncrementalDecoder] = {}
        self._saved: list[tuple[int, int]] = []
        self._poll = select.poll()
        streams: tuple[tuple[int, Stream], ...] = ((1, "stdout"), (2, "stderr"))
        for target, stream in streams:
            readable, writable = os.pipe()
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                try:
                    fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, _ROOM)
                except OSError:
                    pass  # over the user's limit for pipes: the usual 64 KiB must do
            os.set_blocking(readable, False)
            self._saved.append((target, os.dup(target)))
            os.dup2(writable, target)
            os.close(writable)
            self._pipes[readable] = stream
            self._poll.register(readable, select.POLLIN)
            self._decoders[readable] = codecs.getincrementaldecoder("utf-8")("replace")

    def attach(self, output: TaskOutput) -> None:
        """Say where the text goes; until then it stays in the pipes."""
        self._output = output
        self._lock = output.lock  # one lock: text is passed on while a pipe is read, and the other way round
        output.drain = self.drain

    def filenos(self) -> list[int]:
        """What to poll for reading."""
        return list(self._pipes)

    def waits(self) -> bool:
        """Whether something has been written that was not taken."""
        self._libc.fflush(None)
        return bool(self._poll.poll(0))

    def pump(self, fd: int) -> None:
        """Take what there is, at most one piece of it."""
        with self._lock:
            self._read(fd)

    def drain(self) -> None:
        """Take everything that has been written so far."""
        # C's own buffer first: on a pipe, printf keeps its text until 4 KiB have come together.
        self._libc.fflush(None)
        with self._lock:
            for fd in self._pipes:
                for _ in range(_ROOM // _READ):  # all that fits into it: a flood may refill it for ever
                    if not self._read(fd):
                        break

    def close(self) -> None:
        """Give the descriptors back."""
        self.drain()
        for target, saved in self._saved:
            os.dup2(saved, target)
            os.close(saved)
        for fd in self._pipes:
            os.close(fd)
        self._pipes.clear()

    def _read(self, fd: int) -> bool:
        if self._output is None:
            return False
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return False
        if data:
            self._output.text(self._pipes[fd], self._decoders[fd].decode(data))
        return len(data) == _READ
