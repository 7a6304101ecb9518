"""Which calls have begun, in a file that outlives the process: what must not happen twice is not sent twice.

Owns the files `callers` (who) and `begun` (each one's highest number), mapped, so that a mark is one write
to memory. Never says that a call has ended. Read next: `callers.py`.
"""

import mmap
import os
import struct
from pathlib import Path

_NUMBER = struct.Struct("<Q")
_ROOM = 4096  # callers that it has room for, to begin with; then twice as many, and so on


class Begun:
    """The marks in this folder. `earlier` is what former lives of the actor have begun, by caller."""

    def __init__(self, home: Path) -> None:
        self._names = home / "callers"
        known = self._names.read_text().splitlines() if self._names.exists() else []
        fd = os.open(home / "begun", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = max(os.fstat(fd).st_size, _ROOM * _NUMBER.size)
        os.ftruncate(fd, size)
        self._map = mmap.mmap(fd, size)
        os.close(fd)
        self._places = {caller: place for place, caller in enumerate(known)}
        self.earlier = {caller: self._at(place) for caller, place in self._places.items()}

    def place_of(self, caller: str) -> int:
        """Where this caller's marks are; it gets a place with its first greeting."""
        place = self._places.get(caller)
        if place is None:
            place = self._places[caller] = len(self._places)
            if (place + 1) * _NUMBER.size > len(self._map):
                self._map.resize(2 * len(self._map))
            with self._names.open("a") as file:
                file.write(f"{caller}\n")
        return place

    def mark(self, place: int, number: int) -> None:
        """This call begins."""
        if number > self._at(place):
            _NUMBER.pack_into(self._map, place * _NUMBER.size, number)

    def _at(self, place: int) -> int:
        number: int = _NUMBER.unpack_from(self._map, place * _NUMBER.size)[0]
        return number
