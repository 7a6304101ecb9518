"""Calls of a `@cm.batch` method that run as one: those that wait, and those that come soon.

Owns who belongs into a batch, and how long it is waited for: until as many have come as were under way when
the last one ended, at most as long as the class allows. So 64 callers that each wait for their answer are
answered 64 at a time, and a single one does not wait for company that it never had. No call overtakes an
earlier one of its own caller. Never runs a method. Read next: `turns.py`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from .callers import Caller, Entry


class Gathering:
    """Out of `waiting`. `begins`: whether an entry may run; `hear` waits so long for what callers say."""

    def __init__(
        self,
        waiting: deque[Entry],
        begins: Callable[[Entry], bool],
        hear: Callable[[float], None],
    ) -> None:
        self._waiting = waiting
        self._begins = begins
        self._hear = hear
        self._under_way: dict[str, int] = {}  # calls of each method, when a batch was last handed over
        self._begun: dict[str, list[Entry]] = {}  # handed over, and perhaps not answered
        self.stopped = False

    def gather(self, first: Entry, most: int, seconds: float) -> list[Entry]:
        """The calls that run with this one."""
        method, entries = first.call.method, [first]
        end = time.perf_counter() + seconds
        while True:
            self._hear(0.0)  # all that is here
            self._pick(method, most, entries)
            enough = min(most, self._under_way.get(method, most) - len(self._running(method)))
            left = end - time.perf_counter()
            if len(entries) >= enough or left <= 0 or self.stopped:
                return entries
            self._hear(left)

    def handed_over(self, entries: list[Entry]) -> None:
        """They have run, or do in another thread: whoever has just been answered may call again at once."""
        method = entries[0].call.method
        running = self._begun[method] = [*self._running(method), *(one for one in entries if _runs(one))]
        answered = sum(not _runs(one) for one in entries)
        waiting = sum(one.call.method == method for one in list(self._waiting))
        self._under_way[method] = answered + waiting + len(running)

    def _running(self, method: str) -> list[Entry]:
        return [entry for entry in self._begun.get(method, ()) if _runs(entry)]

    def _pick(self, method: str, most: int, entries: list[Entry]) -> None:
        behind: set[Caller] = set()
        left: list[Entry] = []
        for _ in range(len(self._waiting)):
            if len(entries) >= most:
                break
            entry = self._waiting.popleft()
            caller, call = entry.caller, entry.call
            if (
                entry.stream is None
                and caller not in behind
                and call.method == method
                and call.kind == "call"
            ):
                if self._begins(entry):
                    entries.append(entry)
                continue
            left.append(entry)
            if entry.stream is None:
                behind.add(caller)
        self._waiting.extendleft(reversed(left))


def _runs(entry: Entry) -> bool:
    return entry.caller.running.get(entry.call.number) is entry
