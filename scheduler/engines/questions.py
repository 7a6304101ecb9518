"""Questions of the embedded engine to its hub, and who waits for which answer.

Owns the numbers of requests. Never has the socket: it is given `post`. Read next: `embedded.py`,
`embedded_actors.py`.
"""

import itertools
import threading
from collections.abc import Callable
from typing import Any

from cellmesh.scheduler.wire.messages import Wire

from .contract import EngineError

ANSWER_SECONDS = 30.0  # a hub that was killed is back sooner


class Questions:
    def __init__(self, post: Callable[[Wire], None]) -> None:
        self._post = post
        self._count = itertools.count(1)
        self._answers: dict[int, Any] = {}
        self._wanted: set[int] = set()  # asked, and not answered
        self._changed = threading.Condition()
        self._gone = False

    def ask(self, make: Callable[[int], Wire], timeout: float = ANSWER_SECONDS) -> Any:
        """Post what `make` makes of a request's number; waits for the answer."""
        request = next(self._count)
        question = make(request)
        with self._changed:
            self._wanted.add(request)
        try:
            self._post(question)
            with self._changed:
                come = self._changed.wait_for(lambda: request in self._answers or self._gone, timeout)
                if not come or self._gone:
                    why = "has ended" if self._gone else f"did not answer within {timeout:g} s"
                    raise EngineError(f"The hub {why}.")
                return self._answers[request]
        finally:
            with self._changed:
                self._wanted.discard(request)
                self._answers.pop(request, None)

    def answered(self, answer: Any) -> None:
        """In the engine's thread: the hub has answered."""
        with self._changed:
            if answer.request in self._wanted:
                self._answers[answer.request] = answer
                self._changed.notify_all()

    def lose(self) -> None:
        """There will be no answers any more."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()
