"""Memory that stays with its process, as that of a GPU does, for machines that have none.

A `Block` is memory of one process, at the place that `BLOCKS` names; other processes of that place can map
it, all others get copies. Imported by kernels and actors of tests.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any, ClassVar
from weakref import WeakSet

from cellmesh.scheduler.objects import staying


class Block:
    """Some memory; `[:]` is what is in it."""

    alive: ClassVar[WeakSet[Block]] = WeakSet()

    def __init__(self, content: bytes = b"", fd: int | None = None) -> None:
        if fd is None:
            self._fd = os.memfd_create("block")
            os.write(self._fd, content)
        else:
            self._fd = fd
        self._map = mmap.mmap(self._fd, 0)
        Block.alive.add(self)

    def __getitem__(self, part: slice) -> bytes:
        return self._map[part]

    def __setitem__(self, part: slice, content: bytes) -> None:
        self._map[part] = content

    def __del__(self) -> None:
        self._map.close()
        os.close(self._fd)


def opened(path: str) -> Block:
    if "broken" in os.environ.get("BLOCKS_DRIVER", ""):
        raise RuntimeError("mapping is not allowed here")
    return Block(fd=os.open(path, os.O_RDWR))


def landed(content: bytes) -> Block | bytes:
    return Block(content) if places() else content


class Loan:
    recalled = 0

    def __init__(self, block: Block) -> None:
        self.opened = opened, (f"/proc/{os.getpid()}/fd/{block._fd}",)

    def recall(self) -> None:
        Loan.recalled += 1


class Thing:
    way = "mapping"

    def __init__(self, block: Block) -> None:
        self.own = block
        self.place = places()[0]
        self.nbytes = len(block[:])

    def lend(self) -> Loan:
        return Loan(self.own)

    def copy(self) -> Any:
        return landed, (self.own[:],)


class Mapped:
    """Memory of a torch tensor that is made of a file: the storage of one on a GPU, as torch sees it."""

    way = "mapping"

    def __init__(self, storage: Any) -> None:
        self.own = storage
        self.place = places()[0]
        self.nbytes = storage.nbytes()

    def lend(self) -> MappedLoan:
        return MappedLoan(self.own)

    def copy(self) -> Any:
        return mapped_landed, (self.own.clone(),)


class MappedLoan:
    def __init__(self, storage: Any) -> None:
        self.opened = mapped, (storage.filename, storage.nbytes())

    def recall(self) -> None:
        Loan.recalled += 1


def mapped(path: str, nbytes: int) -> Any:
    return sys.modules["torch"].UntypedStorage.from_file(path, True, nbytes)


def mapped_landed(storage: Any) -> Any:
    return storage


class _Kind:
    def of(self, obj: Any) -> Thing | Mapped | None:
        if type(obj) is Block:
            return Thing(obj)
        torch = sys.modules.get("torch")
        if torch is not None and type(obj) is torch.UntypedStorage and obj.filename and places():
            return Mapped(obj)
        return None

    def places(self) -> list[str]:
        return places()


def places() -> list[str]:
    return [os.environ["BLOCKS"]] if "BLOCKS" in os.environ else []


staying.KINDS.append(_Kind())
