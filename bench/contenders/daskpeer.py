"""Dask: a LocalCluster of two worker processes."""

import distributed

from .acting import Asked, Model
from .base import arrays, mean, noop, run_script

COLD = """
import time; t = time.perf_counter()
from distributed import Client, LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    client = Client(cluster)
    assert client.submit(abs, -1).result() == 1
    print(time.perf_counter() - t, flush=True)
    client.close(); cluster.close()
"""


ATTACH = """
import sys
from distributed import Client
with Client(sys.argv[1]) as client:
    assert client.submit(abs, -1).result() == 1
"""


class Peer(Asked):
    version = distributed.__version__

    def start(self) -> None:
        self.cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        )
        self.client = distributed.Client(self.cluster)
        self.submit(20)
        self.model = self.client.submit(Model, actor=True).result()

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.client.submit(noop, pure=False).result()

    def submit_many(self, count: int) -> None:
        self.client.gather([self.client.submit(noop, pure=False) for _ in range(count)])

    def arrays(self, count: int) -> None:
        self.client.gather([self.client.submit(mean, array, pure=False) for array in arrays(count)])

    def attach(self, count: int) -> None:
        for _ in range(count):
            run_script(ATTACH, self.cluster.scheduler_address)
