"""Which of a task's displays its cell shows: as many as fit, live pictures at a bearable rate.

Owns the budget for displays, updates and clears. Pure: time comes in, what to show comes out; what is shown
is opaque here. Never drops the last frame of a live picture. Read next: `output.py`.
"""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
DisplayKind = Literal["display", "result", "update", "clear"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a task may display."""

    displays: int = 50  # standing in the cell at once
    burst: int = 50  # updates and clears at once
    rate: float = 10.0  # and a second


class Displays(Generic[T]):
    """What one task shows of its displays."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._tokens = float(self._limits.burst)
        self._refilled: float | None = None
        self._standing = 0
        self._hidden = 0
        self._updates: dict[str, T] = {}  # latest update of each display that came too soon
        self._frame: list[T] | None = None  # a clear that came too soon, and what followed it

    def take(self, kind: DisplayKind, item: T, now: float, display_id: str = "") -> list[T]:
        """What to show now."""
        if kind == "clear":
            self._standing = self._hidden = 0
            self._updates.clear()
            self._frame = None if self._pay(now) else [item]
            return [] if self._frame is not None else [item]
        if kind == "update":
            self._updates.pop(display_id, None)
            if self._frame is None and self._pay(now):
                return [item]
            self._updates[display_id] = item
            return []
        if self._standing >= self._limits.displays:
            self._hidden += 1
            return []
        self._standing += 1
        if self._frame is not None:
            self._frame.append(item)
            return []
        return [item]

    def finish(self) -> tuple[list[T], int]:
        """What is still to be shown when the task ends, and how many displays never were."""
        items = [*(self._frame or ()), *self._updates.values()]
        self._frame, self._updates = None, {}
        return items, self._hidden

    def _pay(self, now: float) -> bool:
        if self._refilled is not None:
            grown = self._tokens + max(0.0, now - self._refilled) * self._limits.rate
            self._tokens = min(float(self._limits.burst), grown)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
