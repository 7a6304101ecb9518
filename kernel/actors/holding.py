"""What of a result is still with the actor: it lies on its GPU.

Owns the word that nobody here can ask for it any more. Never fetches anything: loading the result does.
Read next: `future.py`, `cellmesh/scheduler/objects/borrowing.py`.
"""

from functools import partial
from typing import TYPE_CHECKING

from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.messages import Payload, Ref

if TYPE_CHECKING:
    from .caller import Caller


class Holding:
    """Of one answer. The actor keeps it for as long as this lives."""

    def __init__(self, caller: "Caller", kept: direct.Kept, payload: Payload) -> None:
        self._caller = caller
        self._kept = kept
        self._names = [payload.name] if isinstance(payload, Ref) else []

    def __str__(self) -> str:
        return f"{self._kept.size:,d} bytes on {', '.join(self._kept.places)}"

    def __del__(self) -> None:
        # May run anywhere, also inside the engine's own code: only note it; the session tells later.
        session = self._caller.session
        if not (session.dying or session.closed):
            took = direct.Took([], self._names, [self._kept.key])
            session.later.append(partial(self._caller.post, took, prompt=True))
            session.engine.nudge()
