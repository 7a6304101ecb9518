"""CUDA memory of torch's tensors: what stays on its GPU, and the ways by which another process gets it.

Owns how torch shares CUDA memory, which torch itself calls internal, and no other file knows. A tensor is its
storage here: torch pickles all around it, so views, parameters and modules come back as they were. Each loan
is opened exactly once, and its end is counted once: torch's count of it wraps below nothing, and the memory
would never be freed. Never imports torch before there is such a tensor. Read next: `staying.py`, `shelf.py`.
"""

import importlib
import os
import sys
from typing import Any

WAY = "CUDA IPC"

STAGED = 256 << 20
"""Bytes of host memory that are pinned at most: torch keeps what was pinned once."""


def stays(obj: Any) -> bool:
    """Whether this is memory of a GPU."""
    torch = sys.modules.get("torch")
    return torch is not None and type(obj) is torch.UntypedStorage and obj.device.type == "cuda"


def of(obj: Any) -> "Stored | None":
    """What it is here, if it is memory of a GPU."""
    return Stored(obj) if stays(obj) else None


def places() -> list[str]:
    """The GPUs of this process, by what all processes call them; none in a notebook's own."""
    torch = sys.modules.get("torch")
    if torch is None or not _is_worker() or not torch.cuda.is_available():
        return []
    return [_uuid(torch, index) for index in range(torch.cuda.device_count())]


class Stored:
    """The memory of one storage."""

    way = WAY

    def __init__(self, storage: Any) -> None:
        torch = sys.modules["torch"]
        self.own = storage
        self.nbytes: int = storage.nbytes()
        self.place = _uuid(torch, storage.device.index)
        self._torch: Any = torch

    def lend(self) -> "Loan":
        """For one other process on this GPU, which opens it once. RuntimeError where CUDA cannot do that."""
        self._settle()
        self._torch.cuda.ipc_collect()  # what earlier borrowers are through with
        if not self.nbytes:
            return Loan(None, None, (self.place, None))
        # An alias: torch would put one more layer around the storage itself with each loan.
        alias = self._torch.from_dlpack(self._flat()).untyped_storage()
        try:
            return Loan(self._torch, alias, (self.place, alias._share_cuda_()))
        except RuntimeError:  # it is borrowed itself: that cannot be lent on
            alias = self._flat().clone().untyped_storage()
            shared = alias._share_cuda_()
            self._settle()
            return Loan(self._torch, alias, (self.place, shared))

    def copy(self) -> tuple[Any, tuple[Any, ...]]:
        """How to have it elsewhere: its bytes, by way of pinned host memory."""
        self._settle()
        try:
            staged = self._bytes(min(self.nbytes, STAGED), pin_memory=True)
        except RuntimeError:  # no more memory can be pinned
            return landed, (self.own.cpu(), self.own.device.index)
        flat = self._flat()
        whole = staged if self.nbytes <= STAGED else self._bytes(self.nbytes)
        for start in range(0, self.nbytes, STAGED):
            part = flat[start : start + STAGED]
            there = staged[: len(part)].copy_(part)
            if whole is not staged:
                whole[start : start + STAGED].copy_(there)
        return landed, (whole.untyped_storage(), self.own.device.index)

    def _bytes(self, size: int, **kwargs: bool) -> Any:
        return self._torch.empty(size, dtype=self._torch.uint8, **kwargs)

    def _settle(self) -> None:
        """A method has only asked the GPU for its result, on whichever stream: wait until it is there."""
        self._torch.cuda.synchronize(self.own.device)

    def _flat(self) -> Any:
        """All of its bytes as a tensor."""
        return self._torch.empty(0, dtype=self._torch.uint8, device=self.own.device).set_(self.own)


class Loan:
    """What one other process may open, once. Holds the memory until it is given up."""

    def __init__(self, torch: Any, held: Any, arguments: tuple[Any, ...]) -> None:
        self._torch = torch
        self._held = held
        self.opened = opened, arguments

    def recall(self) -> None:
        """The borrower has died, and did not end it: torch would wait for that for ever."""
        shared = self.opened[1][1]
        if shared is not None:
            self._torch.UntypedStorage._release_ipc_counter_cuda(*shared[4:6])
        self._held = None


def opened(place: str, shared: tuple[Any, ...] | None) -> Any:
    """In the borrower: the same memory."""
    torch: Any = importlib.import_module("torch")
    index = places().index(place)
    if shared is None:
        return torch.UntypedStorage(0, device=f"cuda:{index}")
    torch.cuda._lazy_init()
    return torch.UntypedStorage._new_shared_cuda(index, *shared[1:])


def landed(storage: Any, index: int) -> Any:
    """In who got a copy: on a GPU, if it has one of its own, else in CPU memory."""
    torch: Any = importlib.import_module("torch")
    count = torch.cuda.device_count() if _is_worker() and torch.cuda.is_available() else 0
    if not count:
        return storage
    return storage.to(device=f"cuda:{index if index < count else torch.cuda.current_device()}")


def settle() -> None:
    """Wait until all that this process has asked of its GPUs is done."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            torch.cuda.synchronize(index)


def reserved() -> int:
    """Bytes that torch holds on the GPUs of this process."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.memory_reserved(index) for index in range(torch.cuda.device_count()))


def let_go() -> None:
    """Give back to the driver what torch holds and nothing uses."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.ipc_collect()
        torch.cuda.empty_cache()


def is_full(error: BaseException) -> bool:
    """Whether this says that a GPU is full: torch's own error, or one of CUDA or cuBLAS."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return any(words in str(error) for words in ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"))


def _is_worker() -> bool:
    """Whether this process was given its devices by us, and so means to have data there."""
    return "CELLMESH_WORKER" in os.environ


def _uuid(torch: Any, index: int) -> str:
    """As nvidia-smi has it: numbers mean another GPU in each process."""
    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"
