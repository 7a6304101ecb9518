"""Dask alone, on a cluster like the one that `ondask.py` has."""

import time

import distributed

from .acting import Model
from .base import Contender
from .ondask import cluster, content, wait


class Peer(Contender):
    version = distributed.__version__

    def start(self) -> None:
        self.cluster = cluster()
        self.client = distributed.Client(self.cluster)
        self.sent = 0
        self.dask_map(1000)
        self.model = self.client.submit(Model, actor=True).result()

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def dask_map(self, count: int) -> None:
        assert len(self.client.gather(self.client.map(wait, range(count), pure=False))) == count

    def dask_actor(self, count: int) -> None:
        for _ in range(count):
            self.model.noop().result()

    def dask_object(self, _: int) -> float:
        """Into the memory of each worker."""
        self.sent += 1
        weights = content(self.sent)
        start = time.perf_counter()
        sent = self.client.scatter(weights, broadcast=True)
        seconds = time.perf_counter() - start
        del sent
        return seconds
