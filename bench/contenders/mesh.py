"""cellmesh: the embedded engine with two workers."""

import os
from typing import Any

import cellmesh as cm

from .base import Contender, noop, run_script

COLD = """
import time; t = time.perf_counter()
import cellmesh as cm
assert cm.submit(abs, -1).result() == 1
print(time.perf_counter() - t, flush=True)
"""


class Peer(Contender):
    version = cm.__version__

    def start(self) -> None:
        os.environ["CELLMESH_CPUS"] = "2"
        from IPython.core.interactiveshell import InteractiveShell

        self.shell: Any = InteractiveShell.instance()
        self.shell.run_line_magic("load_ext", "cellmesh")
        self.submit(50)
        self.cell(10)

    def stop(self) -> None:
        cm.stop()

    def submit(self, count: int) -> None:
        for _ in range(count):
            cm.submit(noop).result()

    def submit_many(self, count: int) -> None:
        for future in [cm.submit(noop) for _ in range(count)]:
            future.result()

    def cell(self, count: int) -> None:
        for _ in range(count):
            self.shell.run_cell_magic("distributed", "", "pass")

    def attach(self, count: int) -> None:
        for _ in range(count):
            run_script(COLD)
