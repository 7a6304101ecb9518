"""Which of a task's printed lines its cell shows: a bounded, honest excerpt.

Owns the budget (a token bucket for each stream, totals for the task) and the counts. Pure: time comes in,
pieces to show come out. Never keeps more than the last lines withheld. Read next: `displays.py`,
`output.py`.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

PieceKind = Literal["stdout", "stderr", "note"]
Piece = tuple[PieceKind, str]
Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a task may show."""

    burst: int = 200  # lines at once, for each stream
    rate: float = 10.0  # lines a second after that
    resume: int = 10  # a stream that ran dry waits for so many tokens: one note a second, not ten
    lines: int = 2000  # in all
    size: int = 256 * 1024  # characters in all
    width: int = 2000  # characters a line
    tail: int = 20  # withheld lines shown at the end
    redraw: float = 0.1  # seconds between redraws of one line (progress bars)


@dataclass(slots=True)
class _State:
    tokens: float
    refilled: float | None = None
    dry: bool = False
    line: Literal["none", "shown", "withheld"] = "none"  # what the unfinished line is
    column: int = 0
    cut: int = 0  # characters of the unfinished line that were cut
    redrawn: float = float("-inf")
    redraw: str = ""  # the latest redraw that came too soon
    withheld: int = 0  # whole lines since the last note
    rest: str = ""  # beginning of the unfinished withheld line
    tail: deque[str] = field(default_factory=deque)


class Excerpt:
    """What one task shows of its text."""

    def __init__(self, where: str = "", limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._where = where
        self._lines = 0
        self._size = 0
        self._states: dict[Stream, _State] = {}

    def quiet(self, stream: Stream) -> bool:
        """Whether the stream's lines are being withheld, so that gathering them first costs nothing."""
        state = self._states.get(stream)
        return state is not None and state.dry

    def cleared(self) -> None:
        """The cell's output was cleared: what was shown no longer counts."""
        self._lines = self._size = 0

    def take(self, stream: Stream, text: str, now: float) -> list[Piece]:
        """What to show now of `text`."""
        state = self._states.get(stream)
        if state is None:
            limits = self._limits
            state = self._states[stream] = _State(float(limits.burst), tail=deque(maxlen=limits.tail))
        self._refill(state, now)
        pieces: list[Piece] = []
        shown: list[str] = []
        start = 0
        while start < len(text):
            if state.line == "withheld":
                end = text.find("\n", start) + 1 or len(text)
                self._withhold(state, text[start:end])
                start = end
                continue
            if state.line == "none":
                if not self._may_begin(state):
                    self._withhold(state, text[start:])
                    break
                if state.withheld:
                    if shown:
                        pieces.append((stream, "".join(shown)))
                        shown = []
                    pieces.append(("note", self._note(state.withheld)))
                    state.withheld = 0
                    state.tail.clear()
                state.tokens -= 1
                self._lines += 1
                state.line = "shown"
            end = text.find("\n", start)
            if end < 0:
                shown.append(self._draw(state, text[start:], now))
                break
            shown.append(self._draw(state, text[start:end].removesuffix("\r"), now, ends=True))
            start = end + 1
        if any(shown):
            pieces.append((stream, "".join(shown)))
        return pieces

    def finish(self) -> list[Piece]:
        """What is still to be shown when the task ends."""
        pieces: list[Piece] = []
        for stream, state in self._states.items():
            last = state.redraw
            if state.cut:
                last += _more(state.cut)
            if last:
                pieces.append((stream, last))
            if state.rest:
                state.withheld += 1
                state.tail.append(state.rest)
            if not state.withheld:
                continue
            hidden = state.withheld - len(state.tail)
            if hidden:
                pieces.append(("note", self._note(hidden)))
            pieces.append((stream, "\n".join(state.tail) + ("" if state.rest else "\n")))
        self._states.clear()
        return pieces

    def _refill(self, state: _State, now: float) -> None:
        if state.refilled is not None:
            grown = state.tokens + max(0.0, now - state.refilled) * self._limits.rate
            state.tokens = min(float(self._limits.burst), grown)
        state.refilled = now

    def _may_begin(self, state: _State) -> bool:
        limits = self._limits
        if self._lines >= limits.lines or self._size >= limits.size:
            state.dry = True
        elif state.dry:
            state.dry = state.tokens < limits.resume
        else:
            state.dry = state.tokens < 1
        return not state.dry

    def _draw(self, state: _State, line: str, now: float, *, ends: bool = False) -> str:
        before, state.redraw = state.redraw, ""
        if "\r" in line:
            # Only the last redraw of a line is ever seen; those before it need no message.
            drawn = next((part for part in reversed(line.split("\r")) if part), "")
            before, state.cut, state.column = "\r", 0, 0
            visible = self._cut(state, drawn) + ("\r" if line.endswith("\r") else "")
            if not ends and now < state.redrawn + self._limits.redraw:
                state.redraw = "\r" + visible
                return ""
            state.redrawn = now
        else:
            visible = self._cut(state, line)
            # Redraws replace each other in the cell, so only other text counts.
            self._size += len(visible) + ends
        if ends:
            visible += (_more(state.cut) if state.cut else "") + "\n"
            state.line, state.column, state.cut = "none", 0, 0
        return before + visible

    def _cut(self, state: _State, text: str) -> str:
        room = min(self._limits.width - state.column, max(0, self._limits.size - self._size))
        visible = text[:room] if room > 0 else ""
        state.column += len(visible)
        state.cut += len(text) - len(visible)
        return visible

    def _withhold(self, state: _State, text: str) -> None:
        width, keep = self._limits.width, self._limits.tail
        lines = text.count("\n")
        state.withheld += lines
        state.line = "none" if text.endswith("\n") else "withheld"
        if lines <= keep:
            parts = text.split("\n")
            parts[0] = state.rest + parts[0]
        else:
            parts = text.rsplit("\n", keep + 1)[1:]
        *whole, rest = parts
        state.tail.extend(_shorten(line, width) for line in whole)
        state.rest = rest[: width + 1]

    def _note(self, count: int) -> str:
        lines = "1 line" if count == 1 else f"{count:,} lines"
        have = "has it" if count == 1 else "has them"
        return f"… {lines} not shown" + (f"; {self._where} {have} …" if self._where else " …")


def _more(count: int) -> str:
    return f" … ({count:,} more characters)"


def _shorten(line: str, width: int) -> str:
    line = line.rpartition("\r")[2] or line
    return line if len(line) <= width else line[:width] + " … (cut)"
