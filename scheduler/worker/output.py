"""Where everything goes that a task prints or displays: all of it to the log, an excerpt to the cell.

Owns the route from text and displays to `Output` messages of the task that runs. Never decides how much is
shown: `excerpt.py` and `displays.py` do. What comes outside of any task goes to the log only. Read next:
`streams.py`.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from cellmesh.scheduler.objects import makers, segments
from cellmesh.scheduler.wire.messages import INLINE_LIMIT, Output, Payload

from .displays import DisplayKind, Displays
from .excerpt import Excerpt, Stream
from .interrupts import Interrupts
from .logs import LogWriter

_encode = msgspec.json.Encoder(enc_hook=str).encode  # bytes become base64, as notebooks want them


def _nothing() -> None:
    pass


class TaskOutput:
    """What one worker process prints and displays, task by task."""

    def __init__(
        self,
        *,
        number: int | None,
        prefix: str,
        emit: Callable[[Output], None],
        logs: LogWriter | None,
        interrupts: Interrupts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock = threading.RLock()  # reentrant: a finalizer may print while we hold it
        self.interrupts = interrupts
        self.flush_text: Callable[[], None] = _nothing  # set by `Streams`
        self.drain: Callable[[], None] = _nothing  # set by `FdCapture`
        self._number = number
        self._prefix = prefix
        self._emit = emit
        self._logs = logs
        self._clock = clock
        worker = "" if number is None else f" --worker {number}"
        self._where = f"%mesh logs{worker}" if logs is not None else ""
        self._task: tuple[int, int] | None = None
        self._excerpt = Excerpt()
        self._displays: Displays[tuple[DisplayKind, bytes]] = Displays()
        self._log_trouble_told = False

    def begin(self, job: int, task: int) -> None:
        """From now on output belongs to this task."""
        self.settle()
        with self.lock:
            self._task = (job, task)
            self._excerpt = Excerpt(self._where)
            self._displays = Displays()

    def settle(self) -> None:
        """Pass on everything that has been printed so far."""
        self.flush_text()
        self.drain()

    def end(self) -> None:
        """The task is over: show what is left of its output."""
        self.settle()
        with self.lock:
            for kind, text in self._excerpt.finish():
                self._send(kind, text)
            items, hidden = self._displays.finish()
            for item in items:
                self._send_display(item)
            if hidden:
                self._send("note", f"… {hidden:,} display{'s' * (hidden > 1)} not shown …")
            if self._logs is not None:
                self._logs.flush()
                if self._logs.trouble and not self._log_trouble_told:
                    self._log_trouble_told = True
                    self._send("note", self._logs.trouble)
            self._task = None

    def text(self, stream: Stream, text: str) -> bool:
        """Something was printed. Answers whether the stream is being withheld at the moment."""
        with self.lock:
            job, task = self._task or (None, None)
            if self._logs is not None:
                self._logs.write(job, task, stream, text)
            if self._task is None:
                return True
            for kind, piece in self._excerpt.take(stream, text, self._clock()):
                self._send(kind, piece)
            return self._excerpt.quiet(stream)

    def display(
        self,
        kind: Literal["display", "update", "result"],
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        transient: dict[str, Any] | None = None,
    ) -> None:
        """Something was displayed."""
        self.settle()
        transient = transient or {}
        bundle = _encode({"data": data, "metadata": metadata or {}, "transient": transient})
        with self.lock:
            job, task = self._task or (None, None)
            if self._logs is not None:
                self._logs.write(job, task, kind, f"{data.get('text/plain', '')}\n")
            if self._task is not None:
                display_id = str(transient.get("display_id", ""))
                for item in self._displays.take(kind, (kind, bundle), self._clock(), display_id):
                    self._send_display(item)
        self.interrupts.check()

    def clear(self, wait: bool) -> None:
        """The cell's output is to be cleared."""
        self.settle()
        with self.lock:
            if self._task is None:
                return
            item: tuple[DisplayKind, bytes] = ("clear", b"wait" if wait else b"")
            shown = self._displays.take("clear", item, self._clock())
            if shown:
                self._excerpt.cleared()
            for each in shown:
                self._send_display(each)
        self.interrupts.check()

    def note(self, text: str) -> None:
        """Show people a line of our own."""
        with self.lock:
            self._send("note", text)

    def _send(self, kind: Literal["stdout", "stderr", "note", "clear"], text: str) -> None:
        if self._task is not None:
            self._emit(Output(*self._task, self._number, kind, text))

    def _send_display(self, item: tuple[DisplayKind, bytes]) -> None:
        kind, bundle = item
        if kind == "clear":
            self._send(kind, bundle.decode())
        elif self._task is not None:
            data: Payload = bundle
            if len(bundle) > INLINE_LIMIT and self._prefix:
                try:
                    data = makers.write(self._prefix, [bundle])
                except segments.StoreFullError as error:
                    self._send("note", f"… a display is not shown: {error} …")
                    return
            self._emit(Output(*self._task, self._number, kind, "", data))
