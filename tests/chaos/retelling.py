"""The history of a chaos run, told again: its journal through a new hub, with every rule checked on the way.

A hub's journal holds everything that came in. Replayed, it gives the events that the scheduler's core saw.
These are checked (`invariants`), written down as text (`core/replay.py`), and run through a second, bare
core, which must come to the same state. Read next: `../../scheduler/core/story.py`.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from pathlib import Path

import zmq

from cellmesh.scheduler.core import replay
from cellmesh.scheduler.core.commands import Command
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.events import Event
from cellmesh.scheduler.core.invariants import check
from cellmesh.scheduler.core.story import Recorder
from cellmesh.scheduler.hub import recovery
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.journal import Journal
from cellmesh.scheduler.hub.orders import Orders
from cellmesh.scheduler.hub.peers import Peers
from cellmesh.scheduler.hub.pool import Pool
from cellmesh.scheduler.hub.store import Store
from cellmesh.scheduler.hub.timers import Timers

CHECKING = 20
"""Checking walks the whole state; it may take so many times as long as the handling, then it is left out."""


class Checked(Core):
    """A core that remembers its events and looks after itself."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.failure: Exception | None = None  # the hub goes on after what its core raises
        self._handling = self._checking = 0.0

    def handle(self, event: Event) -> list[Command]:
        began = time.perf_counter()
        self.events.append(event)
        try:
            commands = super().handle(event)
            handled = time.perf_counter()
            self._handling += handled - began
            if self._checking <= CHECKING * self._handling:
                check(self.state)
                self._checking += time.perf_counter() - handled
        except Exception as error:
            self.failure = self.failure or error
            raise
        return commands


def retell(journal: Path) -> int:
    """Replay the journal, and return how many events there were; raises where a rule is broken."""
    core = Checked()
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        copy = Path(folder) / "journal"
        shutil.copyfile(journal, copy)
        ours, theirs = socket.socketpair()
        router = context.socket(zmq.ROUTER)
        try:
            store, peers, pool = Store(), Peers(router, 1), Pool(ours)
            orders = Orders("retold", "ipc://nowhere", Path(folder), store, peers, pool, Timers())
            written = Journal(copy)
            recovery.replay(Hub("retold", core, store, peers, orders), written)
            written.close()
        finally:
            router.close(0)
            ours.close()
            theirs.close()
    if core.failure is not None:
        raise core.failure
    check(core.state)
    second = Recorder()
    for event in replay.load(replay.dump(core.events)):
        second.handle(event)
    if second.core.state != core.state:
        raise AssertionError("the same events led to another state")
    return len(core.events)
