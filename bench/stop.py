"""How long Stop takes: from the interrupt until the kernel is idle again, in a real ipykernel.

Owns one kernel. Read next: `__main__.py`.
"""

import queue
import subprocess
import time
from collections.abc import Iterator

from jupyter_client.manager import KernelManager

BUSY = {
    "cell": "%%distributed\nimport time\nprint('in')\ntime.sleep(600)",
    "map": "cm.map(f, range(100)).result()",
}
SETUP = (
    "%load_ext cellmesh\nimport cellmesh as cm\n"
    "def f(i):\n    import time; print('in', flush=True); time.sleep(600)\n"
)


def seconds(kind: str, rounds: int) -> Iterator[float]:
    """Seconds from the interrupt to the idle kernel, once a round."""
    manager = KernelManager()
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive(SETUP, output_hook=lambda _: None, timeout=60)
        client.execute_interactive("%%distributed\n1", output_hook=lambda _: None, timeout=60)
        for _ in range(rounds):
            asked = client.execute(BUSY[kind])
            _until(client, asked, lambda m: "in" in m["content"].get("text", ""))
            begun = time.perf_counter()
            manager.interrupt_kernel()
            _until(client, asked, lambda m: m["content"].get("execution_state") == "idle")
            yield time.perf_counter() - begun
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)


def _until(client, asked, done) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            message = client.get_iopub_msg(timeout=60)
        except queue.Empty:
            break
        if message["parent_header"].get("msg_id") == asked and done(message):
            return
    raise TimeoutError("the kernel did not say what was expected")
