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
    """Of one engine. Nobody shares a lock with whoever asks: a KeyboardInterrupt may leave it taken."""

    def __init__(self, post: Callable[[Wire], None]) -> None:
        self._post = post
        self._count = itertools.count(1)
        self._asked: dict[int, _Question] = {}
        self._gone = False

    def ask(self, make: Callable[[int], Wire], timeout: float = ANSWER_SECONDS) -> Any:
        """Post what `make` makes of a request's number; waits for the answer."""
        request = next(self._count)
        message = make(request)
        question = self._asked[request] = _Question(message)
        try:
            self._post(message)
            if not self._gone:
                question.wait(timeout)
        finally:
            self._asked.pop(request, None)
        if question.answer is None:
            why = "has ended" if self._gone else f"did not answer within {timeout:g} s"
            raise EngineError(f"The hub {why}.")
        return question.answer

    def answered(self, answer: Any) -> None:
        """In the engine's thread: the hub has answered."""
        question = self._asked.pop(answer.request, None)
        if question is not None:
            question.end(answer)

    def again(self) -> None:
        """The hub is back: answers may have died with the one that was asked."""
        for question in list(self._asked.values()):
            self._post(question.message)

    def lose(self) -> None:
        """There will be no answers any more."""
        self._gone = True
        for request in list(self._asked):
            question = self._asked.pop(request, None)
            if question is not None:
                question.end(None)


class _Question:
    """One that waits. Whoever takes it out of those asked ends it."""

    def __init__(self, message: Wire) -> None:
        self.message = message
        self.answer: Any = None
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def wait(self, timeout: float) -> None:
        """Until it has ended, or so many seconds."""
        self._alarm.acquire(timeout=timeout)

    def end(self, answer: Any) -> None:
        """It waits no longer."""
        self.answer = answer
        self._alarm.release()
