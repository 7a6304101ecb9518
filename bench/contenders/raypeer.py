"""Ray, without its dashboard."""

import logging
from typing import Any

import ray

from .acting import Model
from .base import MIB, Contender, arrays, mean, megabyte, noop

COLD = """
import time; t = time.perf_counter()
import ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
assert ray.get(ray.remote(lambda x: -x).remote(-1)) == 1
print(time.perf_counter() - t, flush=True)
ray.shutdown()
"""


class Peer(Contender):
    version = ray.__version__

    def start(self) -> None:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self.noop: Any = ray.remote(noop)
        self.mean: Any = ray.remote(mean)
        ray.get([self.noop.remote() for _ in range(200)])
        self.model: Any = ray.remote(num_cpus=0)(Model).remote()
        ray.get(self.model.noop.remote())

    def stop(self) -> None:
        ray.shutdown()

    def submit(self, count: int) -> None:
        for _ in range(count):
            ray.get(self.noop.remote())

    def submit_many(self, count: int) -> None:
        ray.get([self.noop.remote() for _ in range(count)])

    def arrays(self, count: int) -> None:
        ray.get([self.mean.remote(array) for array in arrays(count)])

    def actor_call(self, count: int) -> None:
        for _ in range(count):
            ray.get(self.model.noop.remote())

    def actor_many(self, count: int) -> None:
        ray.get([self.model.noop.remote() for _ in range(count)])

    def actor_array(self, count: int) -> None:
        for _ in range(count):
            assert ray.get(self.model.same.remote(megabyte())).nbytes == MIB

    def actor_stream(self, count: int) -> None:
        items = self.model.count.options(num_returns="streaming").remote(count)
        assert sum(1 for item in items if ray.get(item) is not None) == count
