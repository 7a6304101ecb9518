"""cellmesh on a Dask cluster: four worker processes, and what runs beside them."""

import time
from typing import Any

import distributed

import cellmesh as cm

from .acting import Model
from .base import Contender

SIZE = 100_000_000
MILLISECOND = 0.001


def wait(_: int) -> None:
    """A task of 1 ms, however few cores there are."""
    time.sleep(MILLISECOND)


def cluster() -> Any:
    """What both are measured on."""
    return distributed.LocalCluster(
        n_workers=4, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )


def content(number: int) -> Any:
    """100 MB that are nowhere yet."""
    import numpy

    return numpy.full(SIZE // 8, number, dtype=float)


class Peer(Contender):
    version = f"{cm.__version__} on Dask {distributed.__version__}"

    def start(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        self.shell: Any = InteractiveShell.instance()
        self.shell.run_line_magic("load_ext", "cellmesh")
        self.cluster = cluster()
        cm.connect("dask", self.cluster)
        cm.start(workers=4)
        self.sent = 0
        self.dask_cell(5)
        self.dask_map(1000)
        self.model = cm.actor(Model).start()
        self.model.noop().result()

    def stop(self) -> None:
        cm.stop()
        cm.connect("inline")
        self.cluster.close()

    def dask_map(self, count: int) -> None:
        assert len(cm.map(wait, range(count)).result()) == count

    def dask_actor(self, count: int) -> None:
        for _ in range(count):
            self.model.noop().result()

    def dask_object(self, _: int) -> float:
        """Into a cell on each worker."""
        self.sent += 1
        self.shell.user_ns["weights"] = content(self.sent)
        start = time.perf_counter()
        self.shell.run_cell_magic("distributed", "", f"assert weights[-1] == {self.sent}")
        return time.perf_counter() - start

    def dask_cell(self, count: int) -> None:
        for _ in range(count):
            self.shell.run_cell_magic("distributed", "", "pass")
