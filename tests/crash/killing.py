"""What crash tests do to processes, and how they wait for what follows.

Owns the looking and the killing. Waits with a bound, never for a fixed time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from cellmesh.kernel import attaching
from cellmesh.kernel.session import Session
from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.messages import HubInfo

T = TypeVar("T")

PATIENCE = 30.0


def until(look: Callable[[], T], what: str) -> T:
    """What `look` answers, as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.01)
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; whoever is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


@dataclass
class Mesh:
    """One hub, seen from outside."""

    folder: Path

    def session(self) -> Session:
        session = attaching.attached()
        assert session is not None
        return session

    def status(self) -> HubInfo:
        return self.session().engine.status(PATIENCE)

    def hub(self) -> int:
        """The hub's process, as its connection file has it."""
        return folders.read_connection(self.folder).pid

    def kill_hub(self) -> None:
        """kill -9, and wait until another one answers."""
        before = self.hub()
        kill(before)
        until(lambda: self.status().pid != before, "a new hub")

    def nursery(self) -> int:
        return self.status().nursery

    def numbered(self) -> dict[int, int]:
        """The processes of the mesh workers, by number."""
        return {worker.number: worker.pid for worker in self.session().workers if worker.state != "starting"}

    def replaced(self, before: dict[int, int]) -> dict[int, int]:
        """The mesh workers once none of those is left and all numbers are there."""
        now = self.numbered()
        same = now.keys() == before.keys() and not set(now.values()) & set(before.values())
        return now if same else {}

    def anonymous(self) -> list[int]:
        """The processes of the task workers."""
        return [pid for session in self.status().sessions for pid in session.task_workers if pid]


def gone(pid: int) -> bool:
    """Whether the process has ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def reached(path: Path) -> None:
    """Wait until a task has left its mark there."""
    until(path.exists, f"{path.name} by a task")


def outcome(get: Callable[[], Any]) -> Any:
    """What it returns, or the exception that it raises."""
    try:
        return get()
    except BaseException as error:
        return error
