"""Stop, put off for the moment in which it would tear something in two.

Owns `deferred`. Never waits and never lasts: what is inside must be quick. Read next: `waiting.py`,
`actors/caller.py`.
"""

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations, which cost more
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class deferred:  # noqa: N801 - reads as what it does: `with deferred(): send()`
    """SIGINT is raised as this block is left, and not within. A handler of the user's own is left alone."""

    __slots__ = ("_handler", "_stopped")

    def __enter__(self) -> None:
        self._handler: Any = None
        self._stopped = False
        if threading.current_thread() is not threading.main_thread():
            return
        handler = _signal.getsignal(_signal.SIGINT)
        if is_known(handler):
            self._handler = handler
            _signal.signal(_signal.SIGINT, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            _signal.signal(_signal.SIGINT, self._handler)
            if self._stopped:
                self._handler(_signal.SIGINT, None)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._stopped = True


def is_known(handler: object) -> bool:
    """Whether this is Python's own handler of SIGINT, or ipykernel's: what these do can be done later."""
    module = getattr(handler, "__module__", "") or ""
    return handler is signal.default_int_handler or module.startswith("ipykernel")
