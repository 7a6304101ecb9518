"""What is measured of cellmesh alone: memory, idleness, shared objects, cancels and deaths.

Owns these measurements; each returns its figure, in seconds, bytes or a share. Everything it starts to be
disturbed is over when it returns. Read next: `mesh.py`, `../cases.py`.
"""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

import cellmesh as cm

from .base import Contender, noop

SIZE = 256 << 20
IDLE_SECONDS = 5.0
DEADLINE = 60.0


class Alone(Contender):
    """Mixed into our own contender."""

    def idle_cpu(self, _: int) -> float:
        """Cores in use by all our processes, the kernel's excepted, while nothing runs."""
        family = _family()
        before, start = _cpu(family), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        return (_cpu(family) - before) / (time.perf_counter() - start)

    def idle_worker(self, _: int) -> float:
        """Bytes of a worker that has run something."""
        return statistics.mean(_pss(process) for process in _family() if _is_worker(process))

    def idle_rest(self, _: int) -> float:
        """Bytes of nursery, hub and template together."""
        return sum(_pss(process) for process in _family() if not _is_worker(process))

    def put(self, _: int) -> float:
        """memcpy's seconds by put's; a segment of this size has just been freed."""
        import numpy

        source = numpy.ones(SIZE // 8)
        target = source.copy()  # its pages are there, as the freed segment's are
        first = cm.put(source)
        del first
        cm.submit(noop).result()  # the news that it is free has come meanwhile
        start = time.perf_counter()
        placed = cm.put(source)
        put = time.perf_counter() - start
        del placed
        start = time.perf_counter()
        numpy.copyto(target, source)
        return (time.perf_counter() - start) / put

    def shared_ref(self, _: int) -> float:
        """Seconds by which 20 tasks with one 256 MiB array take longer than 20 with a number."""
        import numpy

        placed = cm.put(numpy.ones(SIZE // 8))
        _twenty(placed)
        more = [_twenty(placed) - _twenty(0) for _ in range(5)]
        return statistics.median(more)

    def cancel(self, _: int) -> float:
        """From the cancel of a task that computes to the end of the task that waited for its slot."""
        with tempfile.TemporaryDirectory() as folder:
            running = [cm.submit(_spin, f"{folder}/{number}") for number in range(2)]
            _until(lambda: len(os.listdir(folder)) == 2)
            waiting = cm.submit(noop)
            start = time.perf_counter()
            cm.cancel(running[0])
            waiting.result()
            seconds = time.perf_counter() - start
            cm.cancel(running[1])
            cm.submit(noop).result()
        return seconds

    def kill(self, _: int) -> float:
        """From the SIGKILL of a worker to the result of its task, run again on the replacement."""
        with tempfile.TemporaryDirectory() as folder:
            other = cm.submit(_spin, f"{folder}/other")
            victim = cm.submit(_block_once, f"{folder}/victim")
            _until(lambda: len(os.listdir(folder)) == 2 and Path(f"{folder}/victim").read_text() != "")
            start = time.perf_counter()
            os.kill(int(Path(f"{folder}/victim").read_text()), signal.SIGKILL)
            victim.result()
            seconds = time.perf_counter() - start
            cm.cancel(other)
            cm.submit(noop).result()
        return seconds

    def outstanding(self, count: int) -> float:
        """The rate with `count` tasks outstanding by that with 1,000."""
        start = time.perf_counter()
        for _ in range(count // 10_000):
            for future in [cm.submit(noop) for _ in range(1_000)]:
                future.result()
        few = (time.perf_counter() - start) * 10
        start = time.perf_counter()
        for future in [cm.submit(noop) for _ in range(count)]:
            future.result()
        return few / (time.perf_counter() - start)

    def queued_memory(self, count: int) -> float:
        """Bytes of the hub, which has not held so many before, a task that waits for a worker."""
        hub = next(process for process in _family() if process.name() == "cellmesh-hub")
        with tempfile.TemporaryDirectory() as folder:
            running = [cm.submit(_spin, f"{folder}/{number}") for number in range(2)]
            _until(lambda: len(os.listdir(folder)) == 2)
            before = _pss(hub)
            queued = [cm.submit(_never_run) for _ in range(count)]
            _until(lambda: _known_to_the_hub() >= count)
            used = _pss(hub) - before
            cm.cancel([*queued, *running])
            cm.submit(noop).result()
        return used / count


def _never_run() -> None:
    """Nothing is known of it, so each call of it is a task, and waits by itself."""


def _spin(path: str) -> None:
    Path(path).touch()
    while True:
        pass


def _block_once(path: str) -> None:
    """The first run says who it is and waits to be killed; the second returns."""
    if not os.path.exists(path):
        Path(path).write_text(str(os.getpid()))
        time.sleep(DEADLINE)


def _look(value: Any) -> float:
    return float(value if isinstance(value, int) else value[-1])


def _twenty(value: Any) -> float:
    start = time.perf_counter()
    for future in [cm.submit(_look, value) for _ in range(20)]:
        future.result()
    return time.perf_counter() - start


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError("what was to be measured did not begin")
        time.sleep(0.01)


def _known_to_the_hub() -> int:
    from cellmesh.kernel import attaching

    status = attaching.current().engine.status()
    return sum(job.items - job.done for session in status.sessions for job in session.jobs)


def _family() -> list[psutil.Process]:
    """Nursery, hub, template and workers."""
    from cellmesh.kernel import attaching

    nursery = psutil.Process(attaching.current().engine.status().nursery)
    return [nursery, *nursery.children(recursive=True)]


def _is_worker(process: psutil.Process) -> bool:
    name = process.name()
    return name == "cellmesh-task" or name.removeprefix("cellmesh-w").isdigit()


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _pss(process: psutil.Process) -> int:
    return int(process.memory_full_info().pss)
