"""CPython's own pool, with its start method named: fork."""

import multiprocessing
import platform
from concurrent.futures import ProcessPoolExecutor

from .base import Contender, noop

COLD = """
import time; t = time.perf_counter()
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
assert pool.submit(abs, -1).result() == 1
print(time.perf_counter() - t, flush=True)
pool.shutdown()
"""


class Peer(Contender):
    version = platform.python_version()

    def start(self) -> None:
        self.pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
        for future in [self.pool.submit(noop) for _ in range(8)]:
            future.result()

    def stop(self) -> None:
        self.pool.shutdown()

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.pool.submit(noop).result()

    def submit_many(self, count: int) -> None:
        for future in [self.pool.submit(noop) for _ in range(count)]:
            future.result()
