"""How soon a new kernel has its first result from a pool that is warm: real kernels of one notebook, in turn.

Owns these kernels. Each leaves its workers to the next. Read next: `__main__.py`.
"""

import os
import subprocess
import time
from collections.abc import Iterator

from jupyter_client.manager import KernelManager

FIRST = (
    "import time; t = time.perf_counter()\n"
    "import cellmesh as cm\n"
    "assert cm.submit(abs, -1).result() == 1\n"
    "print(time.perf_counter() - t)"
)
END = "from cellmesh.kernel import attaching; attaching.current().close(end_session=True)"
WARM = "_ = [f.result() for f in [cm.submit(time.sleep, 0.2) for _ in range(4)]]"


def seconds(rounds: int) -> Iterator[tuple[float, float]]:
    """(from the import to the first result, from the kernel's start to it), once a round."""
    notebook = f"/tmp/bench-{os.getpid()}.ipynb"
    environ = {**os.environ, "JPY_SESSION_NAME": notebook, "CELLMESH_GRACE": "10", "CELLMESH_CPUS": "2"}
    environ.pop("CELLMESH_DOORBELL", None)
    for number in range(rounds + 1):
        begun = time.perf_counter()
        manager = KernelManager()
        manager.start_kernel(env=environ, stderr=subprocess.DEVNULL)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            said: list[str] = []
            client.execute_interactive(
                FIRST,
                timeout=60,
                output_hook=lambda message, said=said: said.append(message["content"].get("text", "")),
            )
            whole = time.perf_counter() - begun
            then = WARM if number < rounds else END
            client.execute_interactive(then, output_hook=lambda _: None, timeout=60)
            if number:  # the first one found no pool
                yield float("".join(said)), whole
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=False)
