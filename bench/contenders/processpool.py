"""CPython's own pool, with its start method named: fork."""

import multiprocessing
import platform
import time
from concurrent.futures import ProcessPoolExecutor

from .base import Contender, arrays, mean, noop, same

COLD = """
import time; t = time.perf_counter()
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
assert pool.submit(abs, -1).result() == 1
print(time.perf_counter() - t, flush=True)
pool.shutdown()
"""

CHUNKS = (200, 1_000, 5_000, 20_000, 100_000)


class Peer(Contender):
    version = platform.python_version()

    def start(self) -> None:
        self.pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
        for future in [self.pool.submit(noop) for _ in range(8)]:
            future.result()
        self.chunk = 0

    def stop(self) -> None:
        self.pool.shutdown()

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.pool.submit(noop).result()

    def submit_many(self, count: int) -> None:
        for future in [self.pool.submit(noop) for _ in range(count)]:
            future.result()

    def map_many(self, count: int) -> float:
        """Per item, at the chunk size that is best here (looked for once)."""
        self.chunk = self.chunk or min(CHUNKS, key=lambda chunk: self._map(count // 5, chunk))
        return self._map(count, self.chunk)

    def _map(self, count: int, chunk: int) -> float:
        start = time.perf_counter()
        assert len(list(self.pool.map(same, range(count), chunksize=chunk))) == count
        return (time.perf_counter() - start) / count

    def arrays(self, count: int) -> None:
        for future in [self.pool.submit(mean, array) for array in arrays(count)]:
            future.result()
