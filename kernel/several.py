"""What a map returns, of tasks or of an actor's method: many results that are on their way.

Owns what `cm.wait` and `cm.as_completed` need of it. Never launches. Read next: `mapping.py`,
`actors/mapped.py`, `gathering.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from .session import Session


class Several(ABC):
    """Base of `Results`, and of what `h.method.map(xs)` returns."""

    @property
    @abstractmethod
    def session(self) -> Session:
        """In which it was launched."""

    @abstractmethod
    def done(self) -> bool:
        """Whether everything is over."""

    @abstractmethod
    def failed(self) -> bool:
        """Whether it is done, and not every item has a result."""

    @abstractmethod
    def want_all(self) -> None:
        """All of it is wanted, though nobody takes the first results."""

    @abstractmethod
    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """Call `fn` with this once everything is over: from another thread, or now."""

    @abstractmethod
    def wait_for(self, done: Callable[[], bool], timeout: float | None) -> None:
        """Wait until `done()`, which this or something else makes true; TimeoutError if it does not."""
