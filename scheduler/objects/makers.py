"""The makers of this process, by the prefix of the names that they give.

Owns which maker, or other keeper, an object goes to, and who is told that one is free. Never writes anything
itself. Read next: `maker.py`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cellmesh.scheduler.wire.messages import Ref

from . import segments
from .maker import Maker, undone as undone
from .segments import PRIVATE


class Writes(Protocol):
    """What `write` and `freed` need of whoever keeps the objects of a prefix."""

    def write(self, parts: Sequence[bytes | memoryview], marks: str = "") -> Ref:
        """Keep these parts as one object."""

    def freed(self, name: str) -> None:
        """Nobody needs it any more."""

    def let_go(self) -> None:
        """Keep nothing that nobody needs."""


_makers: dict[str, Writes] = {}
os.register_at_fork(after_in_child=_makers.clear)  # a child must not write its parent's segments again


def open_maker(prefix: str, spill: Path) -> None:
    """From now on this process makes segments under this prefix, and is told which of them are free."""
    if prefix and prefix not in _makers:
        _makers[prefix] = Maker(prefix, spill)


def keep_elsewhere(prefix: str, keeper: Writes) -> None:
    """From now on what this process makes under this prefix is kept by `keeper`, and is no segment."""
    _makers[prefix] = keeper


def close_maker(prefix: str) -> None:
    """The end of that."""
    maker = _makers.pop(prefix, None)
    if maker is not None:
        maker.let_go()


def rest() -> None:
    """Nothing was freed here for a while: what is kept for the next objects goes back to the system."""
    for maker in list(_makers.values()):
        maker.let_go()


def write(prefix: str, parts: Sequence[bytes | memoryview], *, private: bool = False) -> Ref:
    """Make a segment; `private` if some of it may be written to by who loads it."""
    return _makers[prefix].write(parts, PRIVATE if private else "")


def freed(names: Sequence[str]) -> None:
    """These segments, made by this process, are free."""
    for name in names:
        for prefix, maker in list(_makers.items()):
            if name.startswith(prefix):
                maker.freed(name)
                break
        else:
            segments.unlink(name)  # its maker is closed
