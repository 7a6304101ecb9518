"""Calling again what raised one of the exceptions that are worth another try (`retry_on=`).

Owns the tries of one item in one worker. Deaths of workers are the core's to count; the two do not add up.
Never retries an interrupt. Read next: `runner.py`.
"""

from collections.abc import Callable
from types import CoroutineType
from typing import Any

from cellmesh.scheduler.wire.messages import TaskWire

from .loops import Loop
from .seeding import rewinder


class Retrying:
    """A task's function that tries again; seeded, each try begins with the item's own random numbers."""

    def __init__(
        self, task: TaskWire, function: Callable[..., Any], kinds: tuple[type[Exception], ...], loop: Loop
    ) -> None:
        self._function = function
        self._kinds = kinds
        self._retries = task.retries
        self._seeded = task.seeds is not None
        self._loop = loop

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rewind = rewinder() if self._seeded and self._retries else None
        for left in range(self._retries, -1, -1):
            try:
                value = self._function(*args, **kwargs)
                return self._loop.run(value) if type(value) is CoroutineType else value
            except self._kinds as error:
                if not left:
                    if self._retries:
                        error.add_note(f"cellmesh: it was tried {self._retries + 1} times (retry_on=)")
                    raise
                if rewind is not None:
                    rewind()
        raise AssertionError("unreachable")
