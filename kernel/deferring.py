"""Stop, put off for the moment in which it would tear something in two.

Owns `deferred`. Never waits and never lasts: what is inside must be quick. Read next: `waiting.py`,
`actors/caller.py`.
"""

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations, which cost more
import threading
from types import FrameType, TracebackType
from typing import Any


class deferred:  # noqa: N801 - reads as what it does: `with deferred(): send()`
    """SIGINT is raised as this block is left, and not within.

    Never around what may take long, or is the user's own code: Stop would not be felt.
    """

    __slots__ = ("_handler", "_stopped")

    def __enter__(self) -> None:
        self._handler: Any = None
        self._stopped = False
        if threading.current_thread() is not threading.main_thread():
            return  # no other is interrupted
        handler = _signal.getsignal(_signal.SIGINT)
        if getattr(handler, "__func__", None) is _note:
            return  # inside another such block, which puts it off longer
        if handler is not None:  # None: one that Python cannot put back
            self._handler = handler
            _signal.signal(_signal.SIGINT, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            _signal.signal(_signal.SIGINT, self._handler)
            if self._stopped:
                _signal.raise_signal(_signal.SIGINT)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._stopped = True


_note = deferred._note
