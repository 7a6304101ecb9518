"""Functions that were sent before, recognised without pickling them again.

Owns the question whether a function can have changed since: its code, defaults, closure and the names it uses
must be the very same objects, and none of those may be of a kind that changes inside. Whatever is not surely
the same is pickled again, so that functions follow the notebook. Never pickles. Read next: `submitting.py`.
"""

import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle

_CONSTANTS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})
_MISSING = object()
_DEEP = 20  # functions that one refers to, one through another


class KnownFunctions:
    """Digests of functions, as long as they are surely what was sent."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], list[Any], str, object]] = {}

    def digest(self, function: Callable[..., Any]) -> str:
        """The digest under which it was sent, or "" if it must be pickled."""
        found = self._known.get(id(function))
        if found is None or found[0]() is not function:
            return ""
        parts = _parts(function)
        before = found[1]
        if parts is None or len(parts) != len(before):
            return ""
        for part, old in zip(parts, before, strict=True):
            if part is not old:
                return ""
        return found[2]

    def remember(self, function: Callable[..., Any], digest: str, blob: object) -> None:
        """It has been sent under this digest, just as it is now; `blob` is kept as long as that is known."""
        parts = _parts(function)
        if parts is not None:
            key = id(function)
            ref = weakref.ref(function, lambda _: self._known.pop(key, None))
            self._known[key] = (ref, parts, digest, blob)


def _parts(function: Any) -> list[Any] | None:
    """What its pickle depends on, but for itself (which must not live for it); None if that may change."""
    parts: list[Any] = []
    return parts[1:] if _collect(function, parts, 0) else None


def _collect(value: Any, parts: list[Any], depth: int) -> bool:
    kind = type(value)
    if kind in _CONSTANTS:
        parts.append(value)
        return True
    if kind is tuple or kind is frozenset:
        parts.append(value)
        return depth < _DEEP and all(_collect(each, parts, depth + 1) for each in value)
    if kind is types.FunctionType:
        return _collect_function(value, parts, depth)
    if kind is types.ModuleType:
        parts.append(value)
        by_value = cloudpickle.list_registry_pickle_by_value()
        return not by_value and sys.modules.get(value.__name__) is value
    if kind is types.BuiltinFunctionType or isinstance(value, type):
        parts.append(value)
        return _by_reference(value)
    return False


def _collect_function(function: types.FunctionType, parts: list[Any], depth: int) -> bool:
    if any(function is part for part in parts):
        return True  # it refers to itself
    parts.append(function)
    if depth > _DEEP:
        return False
    if _by_reference(function):
        return True
    parts += (function.__code__, function.__name__, function.__qualname__, function.__doc__)
    for given in (function.__defaults__, function.__kwdefaults__, function.__dict__ or None):
        parts += given if isinstance(given, dict) else ()
        for value in given.values() if isinstance(given, dict) else given or ():
            if not _collect(value, parts, depth + 1):
                return False
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            return False  # not filled yet
        if not _collect(content, parts, depth + 1):
            return False
    known = function.__globals__
    for name in _names(function.__code__):
        value = known.get(name, _MISSING)
        if value is _MISSING:
            parts.append(_MISSING)
        elif not _collect(value, parts, depth + 1):
            return False
    return True


def _names(code: types.CodeType) -> Iterator[str]:
    """Names that the code, and code inside of it, may look up globally."""
    yield from code.co_names
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            yield from _names(constant)


def _by_reference(value: Any) -> bool:
    """Whether its pickle is only its name, which is the same whatever it does."""
    name = getattr(value, "__module__", None)
    if name is None and type(value) is types.BuiltinFunctionType:
        return False  # a method of some object
    if name == "__main__" or not isinstance(name, str) or cloudpickle.list_registry_pickle_by_value():
        return False
    found: Any = sys.modules.get(name)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, _MISSING)
    return found is value
