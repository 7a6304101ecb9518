"""What the methods of an actor may be marked with: `@cm.method(...)` and `@cm.batch(...)`.

Owns what is allowed in a mark. Never wraps a function: on an object that is here, a marked method does
what it says. Read next: `../../scheduler/objects/members.py` (who reads them), `classes.py`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from cellmesh.scheduler.objects.members import BATCH, RETRY

F = TypeVar("F", bound=Callable[..., Any])


def method(*nothing: object, retry: bool = False) -> Callable[[F], F]:
    """How calls of a method are treated: with `retry` it runs again if its actor's process died under it.

    @cm.method(retry=True)
    def embed(self, text): ...
    """
    if nothing or not isinstance(retry, bool):
        raise TypeError("cm.method takes options alone: @cm.method(retry=True).")

    def mark(function: F) -> F:
        setattr(_function(function, "cm.method"), RETRY, retry)
        return function

    return mark


def batch(function: Any = None, /, *, max_size: int = 32, max_wait_ms: float = 5) -> Any:
    """Gather calls that come at the same time into one: each argument is the list of what the callers gave.

    @cm.batch(max_size=32, max_wait_ms=5)
    def predict(self, xs):                     # called as h.predict(x)
        return list(self.net(torch.stack(xs)))  # one result for each
    """
    if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 1:
        raise TypeError(f"cm.batch(max_size={max_size!r}): how many calls become one at most (1, 2, ...).")
    if isinstance(max_wait_ms, bool) or not isinstance(max_wait_ms, int | float) or max_wait_ms < 0:
        raise TypeError(f"cm.batch(max_wait_ms={max_wait_ms!r}): milliseconds that a call waits for others.")

    def mark(wanted: Any) -> Any:
        setattr(_function(wanted, "cm.batch"), BATCH, (max_size, max_wait_ms / 1000))
        return wanted

    return mark if function is None else mark(function)


def _function(function: Any, what: str) -> Any:
    if isinstance(function, type) or not callable(function) or not hasattr(function, "__dict__"):
        raise TypeError(f"@{what}(...) is for methods of an actor's class, not for {function!r}.")
    return function
