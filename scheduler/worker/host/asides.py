"""What is asked of an actor and is no call of a method: cells, new code, a checkpoint now, how it is.

Owns who does each of them. Never takes turns. Read next: `cells.py`, `reloading.py`, `checkpoints.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cellmesh.scheduler.objects import codec, shelf
from cellmesh.scheduler.wire.direct import AskFacts, Facts

from . import memory, reloading
from .callers import Entry
from .calling import Calling
from .cells import Cells
from .lasting import Lasting
from .living import Living
from .stopping import InMain


class Asides:
    """Of one actor. `meet_all`: callers are told what can be called now."""

    def __init__(
        self,
        cells: Cells,
        stopping: InMain,
        calling: Calling,
        living: Living,
        lasting: Lasting,
        meet_all: Callable[[], None],
        namespace: dict[str, Any],
    ) -> None:
        self._cells = cells
        self._stopping = stopping
        self._calling = calling
        self._living = living
        self._lasting = lasting
        self._meet_all = meet_all
        self._namespace = namespace

    def run(self, entry: Entry) -> None:
        """To its answer."""
        if entry.call.kind == "cell":
            self._cells.run(entry)
            return
        try:
            value = None
            self._stopping.begin(entry)
            if entry.call.kind == "reload":
                self._reload(entry)
            else:
                value = self._lasting.checkpoints.save()
        except BaseException as error:  # noqa: BLE001 - it runs code of the user's class
            self._stopping.end(entry)
            self._calling.failed(entry, error)
        else:
            self._stopping.end(entry)
            self._calling.answered(entry, codec.dumps(value))

    def facts(self, asked: AskFacts) -> Facts:
        """How it is."""
        callers = list(self._lasting.callers.values())
        checkpoints = self._lasting.checkpoints
        return Facts(
            asked.request,
            self._calling.done,
            sum(len(caller.waiting) for caller in callers),
            sum(len(caller.running) for caller in callers),
            memory.held(),
            checkpoints.written,
            checkpoints.why_off,
            memory.resident(),
            shelf.here.held() if shelf.here is not None else 0,
            dict(shelf.here.passed) if shelf.here is not None else {},
        )

    def _reload(self, entry: Entry) -> None:
        reloading.reload(self._living, entry.call.payload, self._namespace)
        self._meet_all()
        self._calling.cut = True  # what was logged is of the old code
