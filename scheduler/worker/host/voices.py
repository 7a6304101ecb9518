"""What a call prints and displays goes to its caller, and to the actor's log.

Owns the way from `print` in a method to `Said`: each call that prints has a voice of its own, so calls that
overlap do not mix. What C code prints is taken as the word of the call in the main thread. What nobody
called for goes to the log alone. Never decides how much is shown: `../excerpt.py` does. Read next:
`calling.py`.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal

from cellmesh.scheduler.wire.messages import Output
from cellmesh.scheduler.worker.descriptors import FdCapture
from cellmesh.scheduler.worker.excerpt import Stream
from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.logs import LogWriter
from cellmesh.scheduler.worker.output import TaskOutput
from cellmesh.scheduler.worker.streams import Streams, TaskStream, Timer

from .callers import Entry

speaking: ContextVar[Entry | None] = ContextVar("cellmesh_speaking", default=None)
"""The call that this thread, or this coroutine, runs for."""

_OVER = object()
"""The voice of a call that was answered: what its threads and tasks still print goes to the log."""


class Voices(TaskOutput):
    """The output of the process; what belongs to a call is passed to its voice.

    A cell has none: while one runs, it is the task of this output itself.
    """

    def __init__(
        self,
        *,
        prefix: str,
        emit: Callable[[Output], None],
        say: Callable[[Entry, Output], None],
        logs: LogWriter,
        interrupts: Interrupts,
        capture: FdCapture,
    ) -> None:
        super().__init__(number=None, prefix=prefix, emit=emit, logs=logs, interrupts=interrupts)
        self.in_main: Entry | None = None
        self._say = say
        self._capture = capture
        self._timer = Timer(self._flush_voices)
        self._voices: set[_Voice] = set()

    def install(self, streams: Streams) -> None:
        """Replace the process's streams; `streams` are those of cells."""
        sys.stdout = _Tongue(self, "stdout", streams.stdout)
        sys.stderr = _Tongue(self, "stderr", streams.stderr)

    def of(self, entry: Entry) -> _Voice | None:
        """The call's voice; None for a cell, and for a call that is over."""
        if entry.voice is None and entry.call.kind != "cell":
            entry.voice = _Voice(self, entry, self._say, self._timer)
            self._voices.add(entry.voice)
        voice: _Voice | None = None if entry.voice is _OVER else entry.voice
        return voice

    def over(self, entry: Entry) -> None:
        """The call is over: its caller gets what is left."""
        if entry is self.in_main and self._capture.waits():
            self.drain()
        voice = entry.voice
        if voice is not None:
            voice.output.end()
            self._voices.discard(voice)
        entry.voice = _OVER

    def text(self, stream: Stream, text: str) -> bool:
        """C code or a subprocess has printed, or a cell, or nobody's thread."""
        entry = self.in_main
        voice = None if entry is None else self.of(entry)
        if voice is not None:
            return voice.output.text(stream, text)
        withheld = super().text(stream, text)
        if entry is None:
            with self.lock:
                self.written()
        return withheld

    def written(self) -> None:
        """The log must have what was shown: if the process dies, its last lines tell why. Under the lock."""
        if self._logs is not None:
            self._logs.flush()

    def display(
        self,
        kind: Literal["display", "update", "result"],
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        transient: dict[str, Any] | None = None,
    ) -> None:
        """Something was displayed."""
        voice = self._speaking()
        if voice is None:
            super().display(kind, data, metadata, transient)
        else:
            voice.output.display(kind, data, metadata, transient)

    def clear(self, wait: bool) -> None:
        """The cell's output is to be cleared."""
        voice = self._speaking()
        if voice is None:
            super().clear(wait)
        else:
            voice.output.clear(wait)

    def _speaking(self) -> _Voice | None:
        entry = speaking.get() or self.in_main  # a thread that a call began speaks for it
        return None if entry is None else self.of(entry)

    def _flush_voices(self) -> None:
        for voice in list(self._voices):
            voice.flush()


class _Voice:
    """Of one call."""

    def __init__(
        self, voices: Voices, entry: Entry, say: Callable[[Entry, Output], None], timer: Timer
    ) -> None:
        def emit(output: Output) -> None:
            voices.written()
            say(entry, output)

        self.output = TaskOutput(
            number=None,
            prefix=voices._prefix,
            emit=emit,
            logs=voices._logs,
            interrupts=voices.interrupts,
        )
        self.output.lock = voices.lock  # one for all: they write to one log
        self.stdout = TaskStream(self.output, "stdout", timer)
        self.stderr = TaskStream(self.output, "stderr", timer)
        self.output.flush_text = self.flush
        self.output.drain = voices.drain
        self.output.begin(0, entry.call.number)

    def flush(self) -> None:
        """Pass on what is held."""
        self.stdout.pass_on()
        self.stderr.pass_on()


class _Tongue(io.TextIOBase):
    """`sys.stdout` of an actor's process: the stream of whichever call writes."""

    def __init__(self, voices: Voices, kind: Stream, otherwise: TaskStream) -> None:
        self._voices = voices
        self._kind = kind
        self._otherwise = otherwise
        self._process = os.getpid()

    def _stream(self) -> TaskStream:
        if os.getpid() != self._process:
            return self._otherwise  # a forked child's text goes to the file descriptor
        voice = self._voices._speaking()
        if voice is None:
            return self._otherwise
        return voice.stdout if self._kind == "stdout" else voice.stderr

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
    def buffer(self) -> Any:
        return self._stream().buffer

    def fileno(self) -> int:
        return self._otherwise.fileno()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        return self._stream().write(text)

    def flush(self) -> None:
        self._stream().flush()
