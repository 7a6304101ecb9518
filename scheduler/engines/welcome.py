"""A hub's answer to the greeting of a client: it is welcome, or refused.

Owns that answer, and the waiting for it. Never has the socket. Read next: `embedded.py`.
"""

import threading
from pathlib import Path

from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.messages import Welcome

from .contract import EngineError, HubGoneError, SessionBusyError, VersionMismatchError

ATTACH_SECONDS = 15.0
LOOK_SECONDS = 0.5  # a hub that ended before we connected never says so: its lock does

_REFUSALS = {"busy": SessionBusyError, "protocol": VersionMismatchError, "gone": HubGoneError}


class Answer:
    """Of one hub. Each reconnection brings a welcome of its own."""

    def __init__(self) -> None:
        self.last: Welcome | None = None
        self._refused = ""
        self._came = threading.Event()

    @property
    def came(self) -> bool:
        """Whether there was one."""
        return self._came.is_set()

    @property
    def welcome(self) -> Welcome:
        """The last welcome, of a client that is attached."""
        assert self.last is not None
        return self.last

    def welcomed(self, welcome: Welcome) -> bool:
        """Take a welcome; whether it is not the first."""
        again, self.last = self.came, welcome
        self._came.set()
        return again

    def refused(self, why: str) -> None:
        """Take a refusal, as "busy: the reason"."""
        self._refused = why
        self._came.set()

    def wait(self, folder: Path) -> Welcome:
        """Until it is there; raises what a refusal means."""
        for _ in range(round(ATTACH_SECONDS / LOOK_SECONDS)):
            if self._came.wait(LOOK_SECONDS):
                break
            if not folders.is_locked(folder / "lock"):
                raise HubGoneError(f"The hub at {folder} has ended.")
        else:
            raise EngineError(f"The hub at {folder} does not answer. Run: python -m cellmesh doctor --clean")
        if self._refused:
            kind, _, why = self._refused.partition(": ")
            raise _REFUSALS.get(kind, EngineError)(why)
        return self.welcome
