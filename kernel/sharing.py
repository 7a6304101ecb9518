"""Large arguments of guests (joblib, dask), which hand the same array to many calls.

Owns which objects are large, and the Futures that hold those in shared memory, by identity. Never looks
inside containers. Read next: `joblib_backend.py`, `dask_scheduler.py`.
"""

import sys
from typing import Any

from .futures import Future
from .putting import put

LARGE = 1_000_000  # bytes


class Shared:
    """What one run of a guest has put into shared memory; freed with it."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[Any, Future]] = {}

    def share(self, value: Any) -> Any:
        """The Future that stands for `value` if that is large, else the value itself."""
        if size_of(value) < LARGE:
            return value
        found = self._held.get(id(value))
        if found is None:
            # The value is kept, for its id is unique only as long as it lives.
            found = self._held[id(value)] = (value, put(value))
        return found[1]


def size_of(value: Any) -> int:
    """How many bytes an array, a table or a sparse matrix has; 0 for anything else.

    >>> size_of(memoryview(b"1234")), size_of("text")
    (4, 0)
    """
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return int(value.memory_usage(index=False).sum())
    size = getattr(value.data if hasattr(value, "indptr") else value, "nbytes", 0)
    return size if isinstance(size, int) else 0
