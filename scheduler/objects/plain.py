"""Plain data, pickled by the quickest way there is.

Owns the short cut around cloudpickle for what holds no class, function or Future: numbers, text and
containers of them, which is what most calls pass. Never decides wrongly for speed: the pickle itself says
whether it refers to anything. Read next: `codec.py`.
"""

import copyreg
import pickle
import re
import sys
from typing import Any

ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_DEPTH = 4  # ((args), {kwargs}), and two levels of the user's own
_FLAT = frozenset("biufcSU?")  # kinds of NumPy's elements that hold nothing else

# STACK_GLOBAL after a name, just memoized or fetched from the memo; a frame may begin between the two.
_GLOBAL = re.compile(rb"(?:\x94|h.|j.{4})(?:\x95.{8})?\x93", re.DOTALL)
_extensions: dict[Any, int] = copyreg._extension_registry  # type: ignore[attr-defined]


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
    if _extensions or not (_is_plain_call(obj) or _likely(obj, _DEPTH)):
        return None
    try:
        data = pickle.dumps(obj, protocol=5, buffer_callback=_refuse)
    except Exception:  # noqa: BLE001 - whatever it is, the careful way meets it again and explains it
        return None
    return None if b"\x93" in data and _GLOBAL.search(data) else data


def refers(data: bytes) -> bool:
    """Whether a pickle may refer to a class or function. Never False if it does.

    Whatever is no plain data is made by calling something, which a pickle must name.
    """
    return b"\x93" in data and _GLOBAL.search(data) is not None


def is_arrays(obj: Any) -> bool:
    """Whether this is an array, or a call with arrays and plain data, that pickle itself treats well."""
    numpy = sys.modules.get("numpy")
    kind = getattr(numpy, "ndarray", None)
    if kind is None:
        return False
    if type(obj) is kind:
        given: tuple[Any, ...] = (obj,)
    elif type(obj) is tuple and len(obj) == 2 and type(obj[0]) is tuple and obj[1] == {}:
        given = obj[0]
    else:
        return False
    for item in given:
        if type(item) is kind:
            if item.dtype.kind not in _FLAT or not item.flags.forc:
                return False
        elif type(item) not in ATOMS:
            return False
    return True


def _is_plain_call(obj: Any) -> bool:
    """Whether this is (args, {}) of nothing but atoms: most calls are."""
    if type(obj) is not tuple or len(obj) != 2:
        return False
    args, kwargs = obj
    return type(args) is tuple and type(kwargs) is dict and not kwargs and ATOMS.issuperset(map(type, args))


def _likely(obj: Any, depth: int) -> bool:
    """A look at the first of everything: only the cost depends on it, as the pickle has the last word."""
    kind = type(obj)
    if kind in ATOMS:
        return True
    if not depth:
        return False
    if kind is tuple:
        return all(type(item) in ATOMS or _likely(item, depth - 1) for item in obj[:8])
    if kind is dict:
        return not obj or _likely(next(iter(obj.values())), depth - 1)
    if kind is list:
        return not obj or _likely(obj[0], depth - 1)
    return False
