"""Named timers of the core, as one heap.

Owns when the loop must wake. Never fires anything itself. Read next: `main.py`.
"""

import heapq

FORGOTTEN = 1000
"""So many cancelled timers may wait for their time before they are cleared away."""


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
        if len(self._heap) > 2 * len(self._when) + FORGOTTEN:  # each call with a timeout leaves one
            self._heap = [(when, name) for name, when in self._when.items()]
            heapq.heapify(self._heap)

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
