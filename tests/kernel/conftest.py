"""A real ipykernel for the kernel room's tests.

`kernel.run(code)` executes a cell as JupyterLab would and returns what it showed.
"""

import os
import queue
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager


def plain(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@dataclass
class Shown:
    """What one cell showed, while it ran and (see `Kernel.drain`) after."""

    msg_id: str
    status: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)

    def stream(self, name: str) -> str:
        return "".join(
            message["content"]["text"]
            for message in self.messages
            if message["msg_type"] == "stream" and message["content"]["name"] == name
        )

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def result(self) -> str:
        """text/plain of the last expression."""
        found = [m["content"]["data"].get("text/plain", "") for m in self.of("execute_result")]
        return found[-1] if found else ""

    @property
    def error(self) -> str:
        """`ValueError: text`, or "" if the cell did not fail."""
        found = self.of("error")
        return f"{found[-1]['content']['ename']}: {found[-1]['content']['evalue']}" if found else ""

    @property
    def traceback(self) -> str:
        found = self.of("error")
        return "\n".join(found[-1]["content"]["traceback"]) if found else ""

    @property
    def plain_traceback(self) -> str:
        return plain(self.traceback)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["msg_type"] in kinds]


class Kernel:
    """One kernel process and its client."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.cells: dict[str, Shown] = {}
        self._count = 0
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def start(self, code: str, *, live: bool = True) -> Shown:
        """Send a cell and return at once; `live=False` sends it as nbclient does (no cellId)."""
        self._count += 1
        message = self.client.session.msg(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
            metadata={"cellId": f"cell-{self._count}"} if live else {},
        )
        self.client.shell_channel.send(message)
        shown = Shown(message["header"]["msg_id"])
        self.cells[shown.msg_id] = shown
        return shown

    def finish(self, shown: Shown, timeout: float = 60.0) -> Shown:
        """Wait until the cell is idle."""
        self.wait_until(lambda: bool(shown.status), timeout)
        return shown

    def run(self, code: str, *, live: bool = True, timeout: float = 60.0) -> Shown:
        """Run a cell to its end; what later arrives for it is added by later calls."""
        return self.finish(self.start(code, live=live), timeout)

    def ok(self, code: str, **options: Any) -> Shown:
        """Run a cell that must not fail."""
        shown = self.run(code, **options)
        assert not shown.error, shown.traceback
        return shown

    def wait_until(self, done: Callable[[], bool], timeout: float = 30.0) -> None:
        """Take messages until `done()`."""
        deadline = time.monotonic() + timeout
        while not done():
            try:
                message = self.client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"not within {timeout} s") from None
            shown = self.cells.get(message["parent_header"].get("msg_id", ""))
            if shown is None:
                continue
            if message["msg_type"] == "status":
                if message["content"]["execution_state"] == "idle":
                    shown.status = "idle"
            else:
                shown.messages.append(message)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def restart(self, *, now: bool = True) -> None:
        """Without `now` as Jupyter's own button does it: an interrupt, then the request to shut down."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=now)
        self._connect()

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@pytest.fixture(params=["inline", "embedded"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Which engine the kernel attaches to; a module that means one of them overrides it."""
    return str(request.param)


@contextmanager
def started(engine_name: str, folder: Path) -> Iterator[Kernel]:
    """A fresh kernel in this folder, that has not loaded cellmesh yet."""
    environ = dict(os.environ)
    environ["CELLMESH_ENGINE"] = engine_name
    checkout = str(Path(__file__).resolve().parents[2])
    environ["PYTHONPATH"] = os.pathsep.join([checkout, *environ.get("PYTHONPATH", "").split(os.pathsep)])
    environ["IPYTHONDIR"] = str(folder / "ipython")
    environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    environ.pop("CELLMESH_DOORBELL", None)
    environ.pop("JPY_SESSION_NAME", None)
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=environ, cwd=str(folder))
    running = Kernel(manager)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def kernel(engine_name: str, tmp_path: Path) -> Iterator[Kernel]:
    """A fresh kernel, in a folder of its own, that has not loaded cellmesh yet."""
    with started(engine_name, tmp_path) as running:
        yield running


@pytest.fixture
def mesh(kernel: Kernel) -> Kernel:
    """A kernel with cellmesh loaded and two workers."""
    kernel.ok("%load_ext cellmesh\n%mesh start -n 2")
    return kernel
