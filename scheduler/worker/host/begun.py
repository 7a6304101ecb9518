"""Which calls have begun, in a file that outlives the process: what must not happen twice is not sent twice.

Owns the files `callers` (who) and `begun` (each one's highest number), mapped, so that a mark is one write
to memory. Never says that a call has ended. Read next: `callers.py`.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import BinaryIO

_NUMBER = struct.Struct("<Q")
_ROOM = 4096  # callers that it has room for, to begin with; then twice as many, and so on


def unmark(home: Path, incarnation: int) -> None:
    """In a home without the marks of the life before this one, whose host is lost: all may have begun."""
    (home / "unmarked").write_text(str(incarnation))


def is_unmarked(home: Path, incarnation: int) -> bool:
    """Whether nobody knows what the life before this one had begun."""
    path = home / "unmarked"
    return path.exists() and path.read_text() == str(incarnation)


class Begun:
    """The marks in this folder. `earlier` is what former lives of the actor have begun, by caller."""

    def __init__(self, home: Path) -> None:
        self._names, self._marks = home / "callers", home / "begun"
        known = self._names.read_text().splitlines() if self._names.exists() else []
        with open(os.open(self._marks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
            size = max(file.seek(0, os.SEEK_END), _ROOM * _NUMBER.size)
            _fill(file, size)
            self._map = mmap.mmap(file.fileno(), size)
        self._places = {caller: place for place, caller in enumerate(known)}
        self.earlier = {caller: self._at(place) for caller, place in self._places.items()}

    def place_of(self, caller: str) -> int:
        """Where this caller's marks are; from its first call on. OSError: there is no room."""
        place = self._places.get(caller)
        if place is None:
            place = len(self._places)
            if (place + 1) * _NUMBER.size > len(self._map):
                with self._marks.open("r+b") as marks:
                    _fill(marks, 2 * len(self._map))
                self._map.resize(2 * len(self._map))
            with self._names.open("ab") as names:
                before = names.tell()
                try:
                    names.write(f"{caller}\n".encode())
                    names.flush()
                except OSError:
                    names.truncate(before)  # half a name would be somebody else's
                    raise
            self._places[caller] = place
        return place

    def mark(self, place: int, number: int) -> None:
        """This call begins."""
        if number > self._at(place):
            _NUMBER.pack_into(self._map, place * _NUMBER.size, number)

    def _at(self, place: int) -> int:
        number: int = _NUMBER.unpack_from(self._map, place * _NUMBER.size)[0]
        return number


def _fill(file: BinaryIO, size: int) -> None:
    """Have it that long, in bytes that the disk really has: a mark on one that is full would kill us."""
    file.write(bytes(size - file.seek(0, os.SEEK_END)))
    file.flush()
