"""A notebook's process in the chaos run: launches mixed work by its seed, and checks every result.

    python -m chaos.book FOLDER KEY SEED LEDGER

What it launches it writes down (LEDGER) before it looks at results: the next process of the same notebook
takes the jobs that this one leaves when it is killed, and checks them against the ledger. It ends when its
input is closed, after all results have come; its exit code tells whether all were right.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import psutil
from support import kernels

import cellmesh as cm
from cellmesh.kernel import attaching, sink
from cellmesh.kernel.futures import Future
from cellmesh.kernel.session import Session
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.wire import folders, system
from cellmesh.scheduler.wire.messages import Item
from chaos import work
from chaos.work import PATIENCE, RETRIES

KEPT = ("-at",)
"""How names of segments end that are not leaks: workers' marks. What is free goes back soon."""

MOST_DESCRIPTORS = 40, 4
"""Of hub or nursery at the end: in all, and for each process that lives; none for those that have gone."""


class WrongError(AssertionError):
    """A result that is not what it must be."""


class OnceSink(sink.SessionSink):
    """A kernel's sink that notices what comes twice."""

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        self._items: set[tuple[int, int, int]] = set()
        self._settled: set[tuple[int, int]] = set()

    def items(self, job: int, task: int, worker: int | None, items: Sequence[Item]) -> None:
        for item in items:
            for index in range(item.index, item.index + item.count):
                if (job, task, index) in self._items:
                    fail(f"item {index} of task {task} of job {job} came twice")
                self._items.add((job, task, index))
        super().items(job, task, worker, items)

    def settled(self, job: int, task: int, *more: Any) -> None:
        if (job, task) in self._settled:
            fail(f"task {task} of job {job} ended twice")
        self._settled.add((job, task))
        super().settled(job, task, *more)


def fail(text: str) -> None:
    """From any thread: tell and end."""
    print(f"WRONG: {text}", file=sys.stderr, flush=True)
    os._exit(3)


class Book:
    def __init__(self, rng: random.Random, ledger: Path) -> None:
        self.rng = rng
        self.ledger = ledger
        self.counts: dict[str, int] = {}
        self.kept: list[tuple[str, Any, int]] = []  # references held over several rounds
        self.me = str(os.getpid())
        self.added = 0  # by this process, to its actor

    def note(self, job: int, low: int, size: int) -> None:
        """Write down what a map must bring, for whoever takes it over."""
        with self.ledger.open("a") as file:
            file.write(json.dumps([job, low, size]) + "\n")

    def same(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            raise WrongError(f"{what}: {str(found)[:200]} instead of {str(expected)[:200]}")
        self.counts[what] = self.counts.get(what, 0) + 1

    # --- kinds of work ------------------------------------------------------------------------------

    def submits(self) -> None:
        xs = [self.rng.randrange(1 << 40) for _ in range(self.rng.randrange(1, 120))]
        futures = [cm.submit(work.pair, x, retries=RETRIES) for x in xs]
        for x, future in zip(xs, futures, strict=True):
            self.same("submit", future.result(PATIENCE), work.pair(x))

    def maps(self) -> None:
        low, size = self.rng.randrange(1 << 40), self.rng.randrange(1, 2000)
        results = cm.map(work.mix, range(low, low + size), retries=RETRIES)
        self.note(results.job.id, low, size)
        if self.rng.random() < 0.3:
            for x, found in enumerate(results, low):
                self.same("map", found, work.mix(x))
        else:
            self.same("map", results.result(PATIENCE), [work.mix(x) for x in range(low, low + size)])

    def chains(self) -> None:
        xs = [self.rng.randrange(1 << 40) for _ in range(self.rng.randrange(1, 8))]
        parts = [cm.submit(work.mix, x, retries=RETRIES) for x in xs]
        total = cm.submit(work.fold, parts, retries=RETRIES)
        self.same("chain", total.result(PATIENCE), work.fold([work.mix(x) for x in xs]))

    def nested(self) -> None:
        x, size = self.rng.randrange(1 << 40), self.rng.randrange(1, 25)
        trees = [
            cm.submit(work.spread, x + n, size, retries=RETRIES) for n in range(self.rng.randrange(1, 4))
        ]
        for n, tree in enumerate(trees):
            expected = work.fold([work.mix(y) for y in range(x + n, x + n + size)])
            self.same("nested", tree.result(PATIENCE), expected)

    def wishes(self) -> None:
        """Calls that say what they need, and which is first."""
        xs = [self.rng.randrange(1 << 40) for _ in range(20)]
        futures = []
        for x in xs:
            needs = cm.task(
                cpus=self.rng.choice([0.5, 1, 2]),
                memory=self.rng.choice([0, 1 << 20]),
                priority=self.rng.randrange(-2, 3),
                timeout=self.rng.choice([None, 50.0]),
                retries=RETRIES,
            )
            futures.append(needs(work.mix).submit(x))
        for x, future in zip(xs, futures, strict=True):
            self.same("wish", future.result(PATIENCE), work.mix(x))

    def blocks(self) -> None:
        seed, size = self.rng.randrange(1 << 30), self.rng.choice([1000, 70_000, 300_000, 2_000_000])
        reference = cm.put(work.block(seed, size))
        made = cm.submit(work.block, seed, size, retries=RETRIES)
        weights = [cm.submit(work.weigh, reference, retries=RETRIES) for _ in range(3)]
        expected = work.weigh(work.block(seed, size))
        weights.append(cm.submit(work.weigh, made, retries=RETRIES))
        for weight in weights:
            self.same("weight", weight.result(PATIENCE), expected)
        self.same("block", work.weigh(made.result(PATIENCE)), expected)
        self.kept.append(("kept", reference, expected))
        if len(self.kept) > 3:
            what, old, weight = self.kept.pop(0)
            self.same(what, work.weigh(old.result(PATIENCE)), weight)

    def failures(self) -> None:
        futures = [cm.submit(work.refuse, x, retries=RETRIES) for x in range(6)]
        for x, future in enumerate(futures):
            error = future.exception(PATIENCE)
            self.same("failure", str(error) if error else future.result(), f"odd: {x}" if x % 2 else x)

    def cancels(self) -> None:
        first = cm.submit(abs, -1, retries=RETRIES)
        sleepers = [cm.submit(work.doze, 100.0, retries=RETRIES) for _ in range(self.rng.randrange(1, 5))]
        sleepers.append(cm.submit(work.hold, 100.0, retries=RETRIES))
        dozing = cm.map(work.doze, [100.0] * self.rng.randrange(1, 9), retries=RETRIES)
        self.same("beside", first.result(PATIENCE), 1)
        cm.cancel([*sleepers, dozing])
        if self.rng.random() < 0.5:
            cm.cancel([*sleepers, dozing])
        for future in sleepers:
            self.same("cancel", future.cancelled(), True)
        try:
            found: Any = dozing.result(PATIENCE)
        except CancelledError:
            found = "cancelled"
        self.same("cancel", found, "cancelled")

    def actors(self) -> None:
        """An actor that counts each call once; the next process of this notebook finds it again."""
        counter = cm.actor(name="counter", replay=True, restarts=RETRIES)(work.Counter).start()
        count = self.rng.randrange(1, 60)
        futures = [counter.add(self.me) for _ in range(count)]
        expected = range(self.added + 1, self.added + count + 1)
        self.added += count
        for value, future in zip(expected, futures, strict=True):
            self.same("actor", future.result(PATIENCE), value)

    def kinds(self) -> list[Callable[[], None]]:
        return [
            self.submits,
            self.maps,
            self.chains,
            self.nested,
            self.wishes,
            self.blocks,
            self.failures,
            self.cancels,
            self.actors,
        ]

    def round(self) -> None:
        """Something of each kind, in any order."""
        kinds = self.kinds()
        self.rng.shuffle(kinds)
        for kind in kinds:
            kind()

    # --- what an earlier process left ---------------------------------------------------------------

    def take_over(self) -> None:
        """The jobs of the process that was killed."""
        expected: dict[int, tuple[int, int]] = {}
        for line in self.ledger.read_text().splitlines() if self.ledger.exists() else ():
            try:
                job, low, size = json.loads(line)
            except ValueError:
                continue  # torn by the kill
            expected[job] = low, size
        session = attaching.current()
        for info in session.survivors.jobs:
            try:
                found = cm.attach(info.number)
            except EngineError as error:
                if "no job" not in str(error) and "not known any more" not in str(error):
                    raise
                continue
            if isinstance(found, list):
                self.take_calls(found)
            elif info.id in expected and not info.cancelled:
                low, size = expected[info.id]
                values = found.result(PATIENCE)
                self.same("taken over", values[:size], [work.mix(x) for x in range(low, low + len(values))])
            else:
                found.cancel()

    def take_calls(self, futures: list[Future]) -> None:
        """All kinds of calls, some of which would never end: those are found by their patience."""
        done, _ = cm.wait(futures, timeout=1.0)
        for future in done:
            if not future.cancelled() and future.exception() is None:
                found = future.result()
                if isinstance(found, tuple):
                    self.same("taken over", found, work.pair(found[0]))
        cm.cancel(futures)


def main(folder: str, key: str, seed: str, ledger: str) -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # for whoever finds it stuck
    ending = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ending.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    attaching.SessionSink = OnceSink  # type: ignore[misc]
    kernels.attach(Path(folder), key)
    book = Book(random.Random(seed), Path(ledger))
    book.ledger.touch()
    book.take_over()
    book.round()
    while not ending.is_set():
        book.round()
    book.kept.clear()
    del book.kept
    finish(book)


def finish(book: Book) -> None:
    """Nothing may be left of all this but the session itself."""
    gc.collect()
    session = attaching.current()
    deadline = time.monotonic() + PATIENCE
    while left := what_is_left(session):
        if time.monotonic() > deadline:
            raise WrongError(f"left: {left}")
        time.sleep(0.05)
    print(json.dumps(book.counts), flush=True)
    session.close(end_session=True)


def what_is_left(session: Session) -> list[str]:
    """Jobs, slots, segments and descriptors that nobody needs any more."""
    session.drain_claims()
    cm.jobs()  # seals what could still take calls
    status = session.engine.status(PATIENCE)
    (own,) = [one for one in status.sessions if one.id == session.spec.key]
    left = [f"job {one.number} {one.title}: {one.done}/{one.items}" for one in own.jobs]
    if own.slots:
        left.append(f"{own.slots} slots")
    alone = len(status.sessions) == 1  # else the other notebook's are among them
    prefix = folders.segment_prefix(status.name) if alone else session.engine.object_prefix()
    for path in system.shared_memory_folder().glob(prefix + "*"):
        if not path.name.endswith(KEPT):
            left.append(f"segment {path.name}")
    most = MOST_DESCRIPTORS[0] + MOST_DESCRIPTORS[1] * len(psutil.Process(status.nursery).children())
    for process in (status.pid, status.nursery):
        count = psutil.Process(process).num_fds()
        if count > most:
            left.append(f"{count} descriptors of {psutil.Process(process).name()}")
    return left


if __name__ == "__main__":
    main(*sys.argv[1:])
