"""`%%distributed --actor`: a cell inside the actor's process, `self` being the live object.

Owns nothing of how a cell runs: the runner does that, as in any worker, with its namespace, capture and
Stop. Read next: `../runner.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import Item, Payload, Report, Run, TaskWire
from cellmesh.scheduler.worker.runner import Runner

from .callers import Entry
from .calling import Calling, arguments
from .living import Living
from .stopping import InMain
from .voices import speaking


class Cells:
    """Runs cells in the main thread, between calls."""

    def __init__(self, runner: Runner, living: Living, calling: Calling, stopping: InMain) -> None:
        self._runner = runner
        self._living = living
        self._calling = calling
        self._stopping = stopping
        self._items: list[Item] = []

    def run(self, entry: Entry) -> None:
        """Run it to its answer."""
        speaking.set(None)
        try:
            code, blobs = _loaded(entry)
        except Exception as error:  # noqa: BLE001 - what the cell uses is loaded with it
            self._calling.failed(entry, error)
            return
        interrupts = self._runner.interrupts
        attempt = self._stopping.attempt(entry)
        interrupts.expect(attempt)
        if entry.cancelled:
            interrupts.request(attempt)
        self._items = []
        self._runner.namespace["self"] = self._living.object
        self._runner.run(Run(attempt, attempt, TaskWire(0, "cell", codec.dumps(code)), ""), blobs)
        number, done = entry.call.number, self._items
        if done:
            entry.caller.answer(number, "ok" if done[0].ok else "failed", done[0].payload)
        else:
            self._calling.cut = True
            entry.caller.answer(number, "cancelled")
        self._calling.done += 1

    def reported(self, report: Report) -> None:
        """What the runner has to say of it."""
        self._items += report.items


def _loaded(entry: Entry) -> tuple[CellCode, Mapping[str, Payload]]:
    code, blobs = arguments(entry)
    assert isinstance(code, CellCode)
    return code, blobs
