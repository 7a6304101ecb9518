"""Lines for the person at the notebook.

Owns where they appear: in the running cell, or at the start of the next one. Never raises into an engine's
thread. Read next: `session.py`.
"""

import sys
import threading
import traceback
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .session import Session

PREFIX = "cellmesh: "


class Notices:
    """Lines waiting for a cell to appear in."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._waiting: deque[str] = deque(maxlen=100)
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Show a line in the running cell; keep it for the next one if none runs."""
        with self._lock:
            if text not in self._waiting:
                self._waiting.append(text)
        hooks = self._session.hooks
        if hooks.current is not None or not hooks.interactive:
            self.show()

    def show(self) -> None:
        """Show what has waited."""
        while True:
            with self._lock:
                if not self._waiting:
                    return
                text = self._waiting.popleft()
            self._session.router.say(PREFIX + text + "\n")

    def internal_error(self, error: BaseException) -> None:
        """A fault of our own in the engine's thread: shown whole, so that it can be reported."""
        lines = "".join(traceback.format_exception(error))
        print(lines, file=sys.__stderr__)
        self.say(f"internal error, please report it:\n{lines}")
