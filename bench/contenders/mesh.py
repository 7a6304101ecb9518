"""cellmesh: the embedded engine with two workers. What no peer is asked stands in `alone.py`."""

import os
import time
from typing import Any

import cellmesh as cm

from .acting import Acting, Model
from .alone import Alone
from .base import arrays, mean, noop, run_script, same

COLD = """
import time; t = time.perf_counter()
import cellmesh as cm
assert cm.submit(abs, -1).result() == 1
print(time.perf_counter() - t, flush=True)
"""


class Peer(Acting, Alone):
    version = cm.__version__

    def start(self) -> None:
        os.environ["CELLMESH_CPUS"] = "2"
        from IPython.core.interactiveshell import InteractiveShell

        self.shell: Any = InteractiveShell.instance()
        self.shell.run_line_magic("load_ext", "cellmesh")
        self.submit(50)
        self.model = cm.actor(Model).start()
        self.model.noop().result()

    def stop(self) -> None:
        cm.stop()

    def submit(self, count: int) -> None:
        for _ in range(count):
            cm.submit(noop).result()

    def submit_many(self, count: int) -> None:
        for future in [cm.submit(noop) for _ in range(count)]:
            future.result()

    def map_many(self, count: int) -> None:
        assert len(cm.map(same, range(count)).result()) == count

    def arrays(self, count: int) -> None:
        for future in [cm.submit(mean, array) for array in arrays(count)]:
            future.result()

    def actor_stream(self, count: int) -> None:
        assert sum(1 for _ in self.model.count(count)) == count

    def cell(self, count: int) -> float:
        self.shell.run_cell_magic("distributed", "", "pass")  # the first one starts the workers
        start = time.perf_counter()
        for _ in range(count):
            self.shell.run_cell_magic("distributed", "", "pass")
        return (time.perf_counter() - start) / count

    def attach(self, count: int) -> None:
        for _ in range(count):
            run_script(COLD)
