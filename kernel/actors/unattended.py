"""Calls that failed though nobody asked for their result: a line says so.

Owns when that is said: as the cell that made the call ends, or when the failure comes if that is later. Never
raises. Read next: `directory.py`, `cellmesh/kernel/unattended.py`.
"""

import threading

from cellmesh.kernel.outputs import Speaker
from cellmesh.kernel.session import Session
from cellmesh.scheduler.worker import lending

from .future import ActorFuture


class Unattended:
    """Of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._failed: list[ActorFuture] = []
        self._told: set[tuple[str, str]] = set()  # (cell, call): since a cell ended last
        self._lock = threading.Lock()
        session.hooks.on_end.append(self._at_end)
        session.on_close.append(self.tell)

    def failed(self, future: ActorFuture) -> None:
        """From whoever reads: this one has failed."""
        if lending.place() is not None:
            return  # a task's own calls are no news in the notebook
        with self._lock:
            self._failed.append(future)
        cell = future.cell
        key = (cell.msg_id if cell is not None else "", future.title)
        if key[0] in self._session.hooks.ended and key not in self._told:
            self._told.add(key)  # the first is told at once; how many more there are, with the next cell
            self.tell()

    def _at_end(self) -> None:
        self._told.clear()
        self.tell()

    def tell(self) -> None:
        """Say what nobody has asked for."""
        with self._lock:
            failed, self._failed = self._failed, []
        told: dict[str, list[ActorFuture]] = {}
        for future in failed:
            if not future.attended:
                told.setdefault(future.title, []).append(future)
        for title, futures in told.items():
            first = futures[0].why()
            counted = f"{len(futures)} calls failed, first: " if len(futures) > 1 else "failed: "
            text = f"{title} {counted}{first}; .result() raises it"
            self._session.router.tell(Speaker(0, title, futures[0].cell), text)
