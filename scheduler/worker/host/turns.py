"""Whose turn it is: calls in the order of their arrival, in the main thread or in several.

Owns the queue. With one thread a call begins when the one before it has ended, or goes on by itself (a
coroutine, a stream that rests). Never runs a method. Read next: `gathering.py`, `calling.py`,
`watching.py`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from .batching import Batching
from .callers import Entry
from .calling import Calling
from .door import Door
from .gathering import Gathering
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
        self._batching = Batching(calling, living)
        self._gathering = Gathering(self.waiting, calling.begins, self._hear)
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
        self.stopped = self._gathering.stopped = True
        entry = self._voices.in_main
        if interrupt and entry is not None and entry.stop is not None:
            entry.cancelled = True
            entry.stop(entry)

    def again(self, entry: Entry) -> None:
        """Run a call of an earlier life; nobody listens yet."""
        if entry.call.kind == "call" and entry.call.method in self._living.batches:
            self._batching.run([entry], self._stopping)
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
            if not resumed and not self._calling.begins(entry):
                continue
            kind = entry.call.kind
            entries = [entry]
            batch = self._living.batches.get(entry.call.method) if kind == "call" else None
            if batch is not None:
                entries = self._gathering.gather(entry, *batch)
            if self._pool is not None and (kind == "call" or kind == "stream"):
                self._pool.put(entries)
                if batch is not None:
                    self._gathering.handed_over(entries)
                continue
            watch.begin()
            voices.in_main = entry
            try:
                if kind != "call" and kind != "stream":
                    self._other(entry)
                else:
                    self._run(entries, self._stopping)
            except Exception as error:  # noqa: BLE001 - of our own: these calls have failed, the actor lives on
                self._over(entries, error)
            voices.in_main = None
            speaking.set(None)
            watch.end()
            if batch is not None:
                self._gathering.handed_over(entries)
            if self._calling.cut:
                self._between()
            now = time.perf_counter()
            if now - sent > _SEND:
                door.flush()
                self._between()
                door.wait(0)
                sent = now

    def _hear(self, seconds: float) -> None:
        self._door.flush()
        self._door.wait(seconds)

    def _run(self, entries: list[Entry], stopping: InMain | InThread) -> None:
        entry = entries[0]
        if entry.stream is not None:
            self._calling.go_on(entry, stopping)
        elif entry.call.kind == "call" and entry.call.method in self._living.batches:
            self._batching.run(entries, stopping)
        else:
            self._calling.call(entry, stopping)

    def _over(self, entries: list[Entry], error: BaseException) -> None:
        """They are answered, unless they are already."""
        for entry in entries:
            if entry.caller.running.get(entry.call.number) is entry:
                self._calling.failed(entry, error)

    def _work(self, pool: queue.SimpleQueue[list[Entry]]) -> None:
        """One of several threads."""
        stopping = InThread()
        while True:
            entries = pool.get()
            try:
                self._run(entries, stopping)
            except BaseException as error:  # noqa: BLE001 - a Stop between the method's end and its answer, say
                stopping.end(entries[0])
                self._over(entries, error)
            speaking.set(None)
            with suppress(OSError):  # the connection that it went to has just ended
                self._calling.flush()
