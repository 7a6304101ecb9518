"""A call that kills its process must not do so for ever: it would be run again at each restart.

Owns the file `replayed` in the actor's home (which call of the log runs just now, and how often a process has
died over it) and `left-out` (those that are not run again). A call is left out that two processes have died
over: the one that ran it first, before it had answered, and a replay; or two replays. Never runs a call. Read
next: `replaying.py`.
"""

import os
from pathlib import Path

from cellmesh.scheduler.wire.direct import Call

_SIZE = 200  # of the mark: longer than any


class DeadlyCallError(RuntimeError):
    """The call killed the actor's process, and did so again when it was run again."""


class Deadly:
    """Of one actor, while its log is replayed."""

    def __init__(self, home: Path) -> None:
        self._mark = home / "replayed"
        self._list = home / "left-out"
        self._left_out = set(self._list.read_text().splitlines()) if self._list.exists() else set()
        died = self._mark.read_text().split() if self._mark.exists() else []
        self._over, self._deaths = (" ".join(died[:2]), int(died[2])) if len(died) == 3 else ("", 0)
        self._fd = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def leaves_out(self, caller: str, call: Call, *, died: bool) -> bool:
        """Whether this call is not to be run; else it is marked. `died`: so did who ran it first."""
        name = f"{caller} {call.number}"
        if name in self._left_out:
            return True
        again = name == self._over
        if again and (died or self._deaths > 1):
            with self._list.open("a") as file:
                file.write(f"{name}\n")
            return True
        os.pwrite(self._fd, f"{name} {self._deaths + 1 if again else 1}".encode().ljust(_SIZE), 0)
        return False

    def ran(self) -> None:
        """It has, and we live."""
        os.pwrite(self._fd, b" " * _SIZE, 0)

    def over(self) -> None:
        """The log was replayed to its end."""
        os.close(self._fd)
        self._mark.unlink()
