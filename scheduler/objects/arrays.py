"""NumPy's arrays where NumPy's own pickling would copy them into the pickle: dates, and what has gaps.

Owns what replaces it, so that these too lie out of band and are read in place. Never imports NumPy: who has
an array has it. Read next: `codec.py`.
"""

import sys
from typing import Any

_FROM = 4096  # smaller ones are copied anyway


def reduce(obj: Any) -> Any:
    """How to pickle `obj`, or None if NumPy does it well, or it is no array."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(obj) is not getattr(numpy, "ndarray", None):
        return None
    if obj.nbytes < _FROM or obj.dtype.hasobject:
        return None
    if obj.dtype.kind in "mM":  # there are no dates in the buffer protocol
        return _viewed, (obj.view(numpy.int64), obj.dtype)
    if not obj.flags.forc:
        return _itself, (obj.copy(order="K"),)
    return None


def _viewed(array: Any, dtype: Any) -> Any:
    return array.view(dtype)


def _itself(array: Any) -> Any:
    return array
