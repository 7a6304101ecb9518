"""GPUs held by this hub, as locks that every hub of this user honours.

Owns one lock a GPU, however many of our workers share it, in a folder that does not depend on the hub. Never
chooses GPUs: the core does, and is told when another hub was quicker. A lock goes with the process that holds
it, however it ends. Cores are not leased between hubs: the operating system shares them fairly already.
Read next: `orders.py`.
"""

import os
from dataclasses import dataclass, field

from cellmesh.scheduler.core.ids import WorkerId
from cellmesh.scheduler.wire import folders


@dataclass
class _Lease:
    lock: int
    workers: set[WorkerId] = field(default_factory=set)


class Leases:
    def __init__(self) -> None:
        self._held: dict[str, _Lease] = {}

    def take(self, worker: WorkerId, gpus: tuple[str, ...]) -> str:
        """Hold these GPUs for a worker; returns the id of one that another hub holds, or ''."""
        for gpu in gpus:
            lease = self._held.get(gpu)
            if lease is None:
                folders.gpu_locks().mkdir(mode=0o700, exist_ok=True)
                lock = folders.take_lock(folders.gpu_lock(gpu))
                if lock is None:
                    self.free(worker)
                    return gpu
                lease = self._held[gpu] = _Lease(lock)
            lease.workers.add(worker)
        return ""

    def alone(self, worker: WorkerId) -> list[str]:
        """Those of its GPUs that it shares with no other worker."""
        return [gpu for gpu, lease in self._held.items() if lease.workers == {worker}]

    def free(self, worker: WorkerId) -> None:
        """The worker is gone: others may have what was its part of GPUs."""
        for gpu, lease in list(self._held.items()):
            lease.workers.discard(worker)
            if not lease.workers:
                os.close(lease.lock)
                del self._held[gpu]
