"""loky, the pool of joblib: robust processes started from nothing."""

import loky

from .base import Contender, arrays, mean, noop

COLD = """
import time; t = time.perf_counter()
import loky
pool = loky.ProcessPoolExecutor(2)
assert pool.submit(abs, -1).result() == 1
print(time.perf_counter() - t, flush=True)
pool.shutdown()
"""


class Peer(Contender):
    version = loky.__version__

    def start(self) -> None:
        self.pool = loky.ProcessPoolExecutor(2)
        self.submit(50)

    def stop(self) -> None:
        self.pool.shutdown()

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.pool.submit(noop).result()

    def submit_many(self, count: int) -> None:
        for future in [self.pool.submit(noop) for _ in range(count)]:
            future.result()

    def arrays(self, count: int) -> None:
        for future in [self.pool.submit(mean, array) for array in arrays(count)]:
            future.result()
