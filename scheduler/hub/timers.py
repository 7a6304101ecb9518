"""Named timers of the core, as one heap.

Owns when the loop must wake. Never fires anything itself. Read next: `main.py`.
"""

import heapq


class Timers:
    """`due(now)` hands out the names whose time has come, once each."""

    def __init__(self) -> None:
        self._when: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, name: str, when: float) -> None:
        """Set (or move) a timer."""
        self._when[name] = when
        heapq.heappush(self._heap, (when, name))

    def cancel(self, name: str) -> None:
        """Forget a timer; unknown names are fine."""
        self._when.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._when.clear()
        self._heap.clear()

    def next(self) -> float | None:
        """When the next timer is due."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[str]:
        """Names of timers that are due; they are forgotten."""
        names = []
        while (when := self.next()) is not None and when <= now:
            name = heapq.heappop(self._heap)[1]
            del self._when[name]
            names.append(name)
        return names
