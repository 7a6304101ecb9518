"""What goes into one run of a `@cm.batch` method, and how what it returned is dealt out.

Owns those two shapes. Never runs a method. Read next: `batching.py`.
"""

import reprlib
from collections.abc import Iterable
from typing import Any


def columns(calls: list[Any]) -> list[list[Any]]:
    """For each positional argument, the list of what the callers gave; `calls` are pairs (args, kwargs).

    >>> columns([((1, "a"), {}), ((2, "b"), {})])
    [[1, 2], ['a', 'b']]
    """
    counts = {len(args) for args, _ in calls}
    if len(counts) != 1 or any(kwargs for _, kwargs in calls):
        raise TypeError("Calls of a batched method must all give the same number of positional arguments.")
    return [list(column) for column in zip(*(args for args, _ in calls), strict=True)]


def dealt(method: str, calls: int, values: Any) -> list[Any]:
    """What each of so many calls gets of what the method returned; an exception among it is raised there."""
    found = list(values) if isinstance(values, Iterable) else None
    if found is None or len(found) != calls:
        got = f"no list, but {reprlib.repr(values)}" if found is None else f"{len(found)} results"
        raise ValueError(
            f"The batched method {method!r} was given {calls} calls and "
            f"returned {got}: it must return a list with one result for each."
        )
    return found
