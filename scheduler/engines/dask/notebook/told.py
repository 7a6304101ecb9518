"""What the hosts of a session tell, one at a time: the notebook knows one engine.

Owns the lock around the notebook's sink. Never tells anything itself. Read next: `host.py`, `fleet.py`.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellmesh.scheduler.engines.contract import Sink


class Told:
    """`with told as sink:` is the turn to tell something. The same thread may take it again."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._turn = threading.RLock()

    def __enter__(self) -> Sink:
        self._turn.acquire()
        return self._sink

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turn.release()
