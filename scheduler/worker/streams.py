"""sys.stdout, sys.stderr and sys.stdin of a worker.

Owns text streams that gather what is written into few messages: a whole line goes at once, the rest within
50 ms, a flood in large pieces. Never loses what a forked child prints: that goes to the file descriptors,
which `descriptors.py` reads. Read next: `output.py`, `descriptors.py`.
"""

import codecs
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from .descriptors import FdCapture
from .excerpt import Stream
from .output import TaskOutput

_CHUNK = 64 * 1024
_SOON = 0.05


class _Bytes(io.BufferedIOBase):
    """`sys.stdout.buffer`: bytes written here join the text."""

    def __init__(self, stream: "TaskStream") -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(self._decoder.decode(bytes(data)))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()


class TaskStream(io.TextIOBase):
    """A text stream whose lines go to the task's output."""

    def __init__(self, output: TaskOutput, kind: Stream, timer: "Timer") -> None:
        self._output = output
        self._kind: Stream = kind
        self._timer = timer
        self._interrupts = output.interrupts
        self._held: list[str] = []
        self._size = 0
        self._quiet = False
        self._lock = output.lock
        self._buffer: _Bytes | None = None
        self.forked = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    @property
    def name(self) -> str:
        return f"<{self._kind}>"

    @property
    def buffer(self) -> _Bytes:
        if self._buffer is None:
            self._buffer = _Bytes(self)
        return self._buffer

    def fileno(self) -> int:
        return 1 if self._kind == "stdout" else 2  # captured too, so subprocesses may use it

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            self._held.append(text)
            self._size += len(text)
            due = self._size > _CHUNK or (not self._quiet and ("\n" in text or "\r" in text))
        if due:
            self.pass_on()
        elif not self._timer.armed:
            self._timer.arm()
        if self._interrupts.pending:
            self._interrupts.check()
        return len(text)

    def flush(self) -> None:
        # A flood that flushes every line must stay as cheap as one that does not.
        if not self._quiet:
            self.pass_on()
        if self._interrupts.pending:
            self._interrupts.check()

    def pass_on(self) -> None:
        """Hand over what is held."""
        if not self._held:
            return
        if not self.forked:  # what a subprocess printed before this text comes before it
            self._output.drain()  # not under the lock: it may wait for a full pipe to be read elsewhere
        with self._lock:
            text = "".join(self._held)
            self._held.clear()
            self._size = 0
            if self.forked:
                os.write(self.fileno(), text.encode("utf-8", "backslashreplace"))
            elif text:
                self._quiet = self._output.text(self._kind, text)

    def awake(self) -> None:
        """A new task: nothing is withheld yet."""
        self._quiet = False

    def after_fork(self) -> None:
        """In a forked child: its text goes to the file descriptor, where the parent finds it."""
        self._lock = threading.RLock()
        self._held.clear()
        self._size = 0
        self._quiet = False
        self.forked = True


class Timer:
    """Has text passed on that no newline follows; a thread that is started when first needed."""

    def __init__(self, flush: Any) -> None:
        self.armed = False
        self._flush = flush
        self._event = threading.Event()
        self._thread: threading.Thread | None = None

    def arm(self) -> None:
        self.armed = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cellmesh-text", daemon=True)
            self._thread.start()
        self._event.set()

    def _run(self) -> None:
        while True:
            self._event.wait()
            self._event.clear()
            time.sleep(_SOON)
            self.armed = False  # before the flush: what comes after it arms again
            self._flush()


class NoInput(io.TextIOBase):
    """`sys.stdin` of a worker: nobody sits there."""

    encoding = "utf-8"

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> str:
        self._refuse()

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            "A worker cannot ask for input. Ask in the notebook, and use the answer in the distributed code."
        )


class Streams:
    """The three streams of one worker."""

    def __init__(self, output: TaskOutput) -> None:
        self._timer = Timer(self.flush)
        self.stdout = TaskStream(output, "stdout", self._timer)
        self.stderr = TaskStream(output, "stderr", self._timer)
        self.stdin = NoInput()
        output.flush_text = self.flush

    def flush(self) -> None:
        """Pass on what both hold."""
        self.stdout.pass_on()
        self.stderr.pass_on()

    def awake(self) -> None:
        """A new task begins."""
        self.stdout.awake()
        self.stderr.awake()

    def install(self) -> None:
        """Replace the process's streams for good."""
        sys.stdout, sys.stderr, sys.stdin = self.stdout, self.stderr, self.stdin
        os.register_at_fork(after_in_child=self._after_fork)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Replace the process's streams for a while (the inline engine)."""
        before = sys.stdout, sys.stderr, sys.stdin
        sys.stdout, sys.stderr, sys.stdin = self.stdout, self.stderr, self.stdin
        try:
            yield
        finally:
            sys.stdout, sys.stderr, sys.stdin = before

    def _after_fork(self) -> None:
        self._timer.armed = True  # its thread is the parent's: lines pass on by themselves, the rest at exit
        self.stdout.after_fork()
        self.stderr.after_fork()


__all__ = ["FdCapture", "NoInput", "Streams", "TaskStream", "Timer"]
