"""How much shared memory a hub's objects may take, and how much they take.

Owns the limit (`CELLMESH_STORE_LIMIT`) and the counting. For the limit that is exact only now and then: a
look at the folder is amortized over what was made since the last. Never frees anything.
Read next: `maker.py`.
"""

import os
import re
from dataclasses import dataclass

from cellmesh.scheduler.wire import system

from . import segments

SETTING = "CELLMESH_STORE_LIMIT"
_COUNT_EVERY = 32
"""The folder is looked through again after a 32nd of the limit was made: so far may each maker overshoot."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str) -> int:
    """Bytes.

    >>> parse_size("8GB"), parse_size("1.5 GiB"), parse_size("1000")
    (8000000000, 1610612736, 1000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", text.upper())
    if match is None:
        raise ValueError(f"{text!r} is no size. Write bytes, or for example 8GB or 512MiB.")
    number, unit, binary = match.groups()
    return int(float(number) * (_UNITS[unit] if not binary else 1024 ** " KMGT".index(unit or " ")))


def limit() -> int:
    """What the setting says; else half of the machine's memory, or 80 % of the folder if that is less."""
    text = os.environ.get(SETTING)
    if text:
        try:
            return parse_size(text)
        except ValueError as error:
            raise ValueError(f"The setting {SETTING}: {error}") from None
    folder = os.statvfs(system.shared_memory_folder())
    return min(system.usable_memory() // 2, folder.f_blocks * folder.f_frsize * 8 // 10)


@dataclass(frozen=True, slots=True)
class Usage:
    """What lies in the folder."""

    count: int
    bytes: int
    free: int  # bytes that nobody needs, kept by their makers for what they make next


def usage(prefix: str) -> Usage:
    """Of the segments whose names begin so; files on disk are counted, but their bytes are not."""
    count = total = free = 0
    with os.scandir(system.shared_memory_folder()) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                try:
                    size = entry.stat(follow_symlinks=False).st_blocks * 512
                except FileNotFoundError:
                    continue  # freed this moment
                count += 1
                total += size
                free += size if segments.has_mark(entry.name, segments.FREE) else 0
    return Usage(count, total, free)


class Room:
    """What is left for the segments whose names begin with `prefix`."""

    def __init__(self, prefix: str, limit: int) -> None:
        self.limit = limit
        self._prefix = prefix
        self._counted = 0
        self._since: int | None = None  # bytes made since they were counted

    def take(self, size: int) -> bool:
        """Whether there is room for so many bytes, which are then taken to be used."""
        folder = system.shared_memory_folder()
        state = os.statvfs(folder)
        if size > state.f_bavail * state.f_frsize:
            return False
        everybodys = (state.f_blocks - state.f_bfree) * state.f_frsize
        if everybodys + size <= self.limit:
            return True
        if self._since is None or self._since + size > self.limit // _COUNT_EVERY:
            self._counted, self._since = usage(self._prefix).bytes, 0
        self._since += size
        return self._counted + self._since <= self.limit

    def recount(self) -> None:
        """Something was freed here: look again before anything is refused."""
        self._since = None
