"""A Dask cluster of real processes, which a test starts, kills and retires one by one.

Owns its processes. `Machines` is a context; leaving it ends all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from conformance.recording import DEADLINE
from distributed import Client


class Machines:
    """A scheduler, and Dask workers without nannies, each as if it were a host of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self._stack = ExitStack()
        self.workers: dict[str, subprocess.Popen[Any]] = {}

    def __enter__(self) -> Machines:
        self._start("dask_scheduler", "--port", "0", "--dashboard-address", ":0")
        end = time.monotonic() + DEADLINE
        while not self._file.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client(self) -> Client:
        """One more; it is closed with the cluster."""
        client = Client(scheduler_file=str(self._file), set_as_default=False, timeout=20)
        self._stack.callback(client.close)
        return client

    def add(self, name: str, *options: str, threads: int = 1, **environ: str) -> None:
        """One more Dask worker."""
        own = ["--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--name", name]
        place = ["--local-directory", str(self._folder)]
        self.workers[name] = self._start("dask_worker", *own, *place, *options, **environ)

    def address(self, client: Client, name: str) -> str:
        """Of this Dask worker."""
        known = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
        return next(address for address, about in known.items() if about["name"] == name)

    def name(self, client: Client, address: str) -> str:
        """Of the Dask worker at this address."""
        return str(client.sync(client.scheduler.identity, n_workers=-1)["workers"][address]["name"])

    def _start(self, module: str, *options: str, **environ: str) -> subprocess.Popen[Any]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1"]
        command += ["--scheduler-file", str(self._file), *options]
        log = self._stack.enter_context((self._folder / f"{module}.log").open("ab"))
        process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self._stack.callback(_ended, process)
        self._stack.callback(process.terminate)
        return process


def _ended(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        pass  # it is killed
