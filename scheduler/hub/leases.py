"""GPUs held by this hub, as locks that every hub of this user honours.

Owns one lock file a GPU, in a folder that does not depend on the hub. Never chooses GPUs: the core does, and
is told when another hub was quicker. A lock goes with the process that holds it, however it ends.
Cores are not leased between hubs: the operating system shares them fairly already.
Read next: `orders.py`.
"""

import os
from pathlib import Path

from cellmesh.scheduler.core.ids import WorkerId
from cellmesh.scheduler.wire import folders


class Leases:
    def __init__(self) -> None:
        self._held: dict[WorkerId, list[int]] = {}

    def take(self, worker: WorkerId, gpus: tuple[str, ...]) -> str:
        """Lock these GPUs for a worker; returns the id of one that another hub holds, or ''."""
        locks: list[int] = []
        for gpu in gpus:
            lock = folders.take_lock(_lock_file(gpu))
            if lock is None:
                for taken in locks:
                    os.close(taken)
                return gpu
            locks.append(lock)
        if locks:
            self._held[worker] = locks
        return ""

    def free(self, worker: WorkerId) -> None:
        """The worker is gone: others may have its GPUs."""
        for lock in self._held.pop(worker, ()):
            os.close(lock)


def _lock_file(gpu: str) -> Path:
    folder = folders.gpu_locks()
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "".join(c if c.isalnum() else "_" for c in gpu)
