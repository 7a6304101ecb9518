"""Whose turn it is: calls in the order of their arrival, in the main thread or in several.

Owns the queue. With one thread a call begins when the one before it has ended, or goes on by itself (a
coroutine, a stream that rests). Calls of a method marked by `@cm.batch` are gathered, but none overtakes an
earlier call of its own caller. Never runs a method. Read next: `calling.py`, `watching.py`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from .callers import Caller, Entry
from .calling import Calling
from .door import Door
from .living import Living
from .stopping import InMain, InThread
from .voices import Voices, speaking
from .watching import Watch

_SEND = 0.001  # answers gather so long while further calls wait


class Turns:
    """`other` runs what is no call; `between` is called now and then between two calls."""

    def __init__(
        self,
        calling: Calling,
        living: Living,
        voices: Voices,
        stopping: InMain,
        other: Callable[[Entry], None],
        between: Callable[[], None],
        threads: int,
    ) -> None:
        self._calling = calling
        self._living = living
        self._voices = voices
        self._stopping = stopping
        self._other = other
        self._between = between
        self.waiting: deque[Entry] = deque()
        self.stopped = False
        self._pool: queue.SimpleQueue[list[Entry]] | None = None
        if threads > 1:
            self._pool = queue.SimpleQueue()
            for number in range(threads):
                name = f"cellmesh-call-{number}"
                threading.Thread(target=self._work, args=(self._pool,), name=name, daemon=True).start()

    def open(self, door: Door, watch: Watch) -> None:
        """From now on callers come by this door; `watch` reads while the main thread is busy."""
        self._door = door
        self._watch = watch

    def stop(self, *, interrupt: bool) -> None:
        """Begin nothing more; what runs in the main thread ends, or is interrupted. Any thread."""
        self.stopped = True
        entry = self._voices.in_main
        if interrupt and entry is not None and entry.stop is not None:
            entry.cancelled = True
            entry.stop(entry)

    def again(self, entry: Entry) -> None:
        """Run a call of an earlier life; nobody listens yet."""
        if entry.call.kind == "call" and entry.call.method in self._living.batches:
            self._calling.batch([entry], self._stopping)
        elif entry.call.kind == "call":
            self._calling.call(entry, self._stopping)
        elif entry.call.kind == "stream":
            self._calling.exhaust(entry, self._stopping)
        else:
            self._other(entry)
        self._calling.overlapping.settle()

    def take(self) -> None:
        """Run what waits."""
        waiting, watch, voices, door = self.waiting, self._watch, self._voices, self._door
        sent = time.perf_counter()
        while waiting and not self.stopped:
            entry = waiting.popleft()
            resumed = entry.stream is not None
            if not resumed and not entry.caller.take(entry):
                continue
            kind = entry.call.kind
            entries = [entry]
            if kind == "call" and self._living.batches and entry.call.method in self._living.batches:
                entries = self._gathered(entry)
            if self._pool is not None and (kind == "call" or kind == "stream"):
                self._pool.put(entries)
                continue
            watch.begin()
            voices.in_main = entry
            if kind != "call" and kind != "stream":
                self._other(entry)
            else:
                self._run(entries, self._stopping)
            voices.in_main = None
            speaking.set(None)
            watch.end()
            if self._calling.cut:
                self._between()
            now = time.perf_counter()
            if now - sent > _SEND:
                door.flush()
                self._between()
                door.wait(0)
                sent = now

    def _run(self, entries: list[Entry], stopping: InMain | InThread) -> None:
        entry = entries[0]
        if entry.stream is not None:
            self._calling.go_on(entry, stopping)
        elif entry.call.kind == "call" and entry.call.method in self._living.batches:
            self._calling.batch(entries, stopping)
        else:
            self._calling.call(entry, stopping)

    def _gathered(self, first: Entry) -> list[Entry]:
        """Calls of the same method that may run with it: those that wait, and those that come soon."""
        method = first.call.method
        most, seconds = self._living.batches[method]
        entries = [first]
        end = time.perf_counter() + seconds
        while True:
            self._pick(method, most, entries)
            left = end - time.perf_counter()
            if len(entries) >= most or left <= 0 or self.stopped:
                return entries
            self._door.flush()
            self._door.wait(left)

    def _pick(self, method: str, most: int, entries: list[Entry]) -> None:
        behind: set[Caller] = set()
        for entry in list(self.waiting):
            if len(entries) >= most:
                return
            caller = entry.caller
            if entry.stream is not None or caller in behind:
                continue
            if entry.call.method != method or entry.call.kind != "call":
                behind.add(caller)
            else:
                self.waiting.remove(entry)
                if caller.take(entry):
                    entries.append(entry)

    def _work(self, pool: queue.SimpleQueue[list[Entry]]) -> None:
        """One of several threads."""
        stopping = InThread()
        while True:
            entries = pool.get()
            try:
                self._run(entries, stopping)
            except KeyboardInterrupt:  # it came between the method's end and its answer
                for entry in entries:
                    if entry.caller.running.get(entry.call.number) is entry:
                        self._calling.failed(entry, KeyboardInterrupt())
            speaking.set(None)
            self._calling.flush()
