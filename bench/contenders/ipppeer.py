"""ipyparallel: a cluster of two engines."""

import ipyparallel

from .base import Contender, noop, run_script

COLD = """
import time; t = time.perf_counter()
import ipyparallel
cluster = ipyparallel.Cluster(n=2, log_level=50)
client = cluster.start_and_connect_sync(activate=False)
assert client.load_balanced_view().apply_sync(abs, -1) == 1
print(time.perf_counter() - t, flush=True)
cluster.stop_cluster_sync()
"""


ATTACH = """
import sys
import ipyparallel
client = ipyparallel.Client(cluster_id=sys.argv[1], profile_dir=sys.argv[2])
assert client.load_balanced_view().apply_sync(abs, -1) == 1
client.close()
"""


class Peer(Contender):
    version = ipyparallel.__version__

    def start(self) -> None:
        self.cluster = ipyparallel.Cluster(n=2, log_level=50)
        self.client = self.cluster.start_and_connect_sync(activate=False)
        self.client.wait_for_engines(2, timeout=60)
        self.view = self.client.load_balanced_view()
        self.direct = self.client[:]
        self.submit(20)
        self.cell(5)

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.view.apply_sync(noop)

    def submit_many(self, count: int) -> None:
        for result in [self.view.apply_async(noop) for _ in range(count)]:
            result.get()

    def cell(self, count: int) -> None:
        for _ in range(count):
            self.direct.execute("pass", block=True)

    def attach(self, count: int) -> None:
        for _ in range(count):
            run_script(ATTACH, self.cluster.cluster_id, self.cluster.profile_dir)
