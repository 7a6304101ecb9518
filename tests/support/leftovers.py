"""What cellmesh left on this machine: processes, shared memory, sockets, folders.

Owns the counting. Waits for an end by watching the processes themselves, not by sleeping.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
from pathlib import Path

import psutil

from cellmesh.scheduler.wire import folders, system


def processes(runtime: Path) -> list[psutil.Process]:
    """Living cellmesh processes whose runtime folder lies in `runtime`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get("XDG_RUNTIME_DIR") != str(runtime):
                continue
            if "cellmesh.scheduler" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until_gone(pids: list[int], timeout: float = 30) -> list[int]:
    """Wait for the processes to end; returns those that live on after `timeout` seconds."""
    poller = select.poll()
    descriptors: dict[int, int] = {}
    for pid in pids:
        descriptor = system.watch_process(pid)
        if descriptor is not None:
            descriptors[descriptor] = pid
            poller.register(descriptor, select.POLLIN)
    deadline = system.monotonic() + timeout
    while descriptors:
        ended = poller.poll(max(0.0, deadline - system.monotonic()) * 1000)
        if not ended:
            break
        for descriptor, _ in ended:
            poller.unregister(descriptor)
            os.close(descriptor)
            del descriptors[descriptor]
    alive = list(descriptors.values())
    for descriptor in descriptors:
        os.close(descriptor)
    return alive


def clear(runtime: Path) -> None:
    """After a test: end what still runs there (it may be ending by itself) and remove its files.

    This is housekeeping; tests of what is left behind have counted before.
    """
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    alive = [process.pid for process in processes(runtime)]
    for pid in wait_until_gone(alive, timeout=3) if alive else ():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    root = runtime / "cellmesh"
    if root.is_dir():
        root.chmod(0o700)
        for segment in system.shared_memory_folder().glob(folders.segment_prefix("")[:-1] + "*"):
            segment.unlink(missing_ok=True)
        shutil.rmtree(folders.data_root(), ignore_errors=True)
    shutil.rmtree(runtime, ignore_errors=True)


def files(runtime: Path) -> list[str]:
    """Sockets, folders and segments of hubs below `runtime` (XDG_RUNTIME_DIR must point at it)."""
    assert os.environ["XDG_RUNTIME_DIR"] == str(runtime)
    root, data = folders.runtime_root(), folders.data_root()
    prefix = folders.segment_prefix("")[:-1]
    segments = system.shared_memory_folder().glob(prefix + "*")
    found = sorted(str(path) for path in [*root.rglob("*"), *data.rglob("*"), *segments])
    for folder in (root, data):
        if not any(folder.iterdir()):
            folder.rmdir()
    return found
