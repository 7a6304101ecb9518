"""Plain data, pickled by the quickest way there is.

Owns the short cut around cloudpickle for what holds no class, function or Future: numbers, text and
containers of them, which is what most calls pass. Never decides wrongly for speed: the pickle itself says
whether it refers to anything. Read next: `codec.py`.
"""

import copyreg
import pickle
import re
from typing import Any

_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_DEPTH = 4  # ((args), {kwargs}), and two levels of the user's own

_ANY_GLOBAL = b"\x93"
# STACK_GLOBAL after a name, just memoized or fetched from the memo; a frame may begin between the two.
_GLOBAL = re.compile(rb"(?:\x94|h.|j.{4})(?:\x95.{8})?\x93", re.DOTALL)


class _NotPlainError(Exception):
    pass


def _refuse(_: pickle.PickleBuffer) -> None:
    raise _NotPlainError


def dumps(obj: Any) -> bytes | None:
    """The pickle of plain data; None if it must be pickled with more care.

    >>> pickle.loads(dumps({"a": [1, 2]}))
    {'a': [1, 2]}
    >>> dumps(dumps) is None
    True
    """
    if not _likely(obj, _DEPTH) or copyreg._extension_registry:  # type: ignore[attr-defined]
        return None
    try:
        data = pickle.dumps(obj, protocol=5, buffer_callback=_refuse)
    except Exception:  # noqa: BLE001 - whatever it is, the careful way meets it again and explains it
        return None
    return None if refers(data) else data


def refers(data: bytes) -> bool:
    """Whether a pickle may refer to a class or function. Never False if it does.

    Whatever is no plain data is made by calling something, which a pickle must name.
    """
    return _ANY_GLOBAL in data and _GLOBAL.search(data) is not None


def _likely(obj: Any, depth: int) -> bool:
    """A look at the first of everything: only the cost depends on it, as `refers` has the last word."""
    kind = type(obj)
    if kind in _ATOMS:
        return True
    if not depth:
        return False
    if kind is tuple:
        return all(type(item) in _ATOMS or _likely(item, depth - 1) for item in obj[:8])
    if kind is dict:
        return not obj or _likely(next(iter(obj.values())), depth - 1)
    if kind is list:
        return not obj or _likely(obj[0], depth - 1)
    return False
