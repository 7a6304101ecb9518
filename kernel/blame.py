"""Why a value cannot be pickled: which object inside it, where that hangs, and what to do about it.

Owns the search and its words. Never changes or calls the objects it looks at, beyond trying to pickle them.
Read next: `capture.py`.
"""

import functools
import io
import socket
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from cellmesh.scheduler.objects.codec import CannotPickleError

from .lookups import names

DEPTH = 8
WIDTH = 10_000
SECONDS = 2.0

_OTHERWISE_CALL = "Create it inside the function, or send what it is made from."

Dump = Callable[[Any], object]
"""Pickles a value, or raises."""

_LOCKS = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Event,
    threading.Thread,
)
_HINTS: tuple[tuple[tuple[type, ...], str], ...] = (
    (
        (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, map, filter, zip),
        "Make a list of it first, or create it inside the cell.",
    ),
    ((io.IOBase,), "Send its path, and open it inside the cell."),
    (_LOCKS, "It is of use in one process only: create it inside the cell."),
    ((socket.socket,), "Connect inside the cell instead."),
    (
        (types.ModuleType,),
        "Put its code into a file that can be imported, or define what you need in a cell.",
    ),
)
_OTHERWISE = (
    "Create it inside the cell (a cell marked --setup runs again on replaced workers), "
    "or send what it is made from."
)


def explain(path: str, value: Any, error: Exception, dump: Dump) -> CannotPickleError:
    """The error to raise for `value`, found at `path`, which `dump` could not pickle."""
    steps, culprit, why = _search(value, error, dump)
    where = " -> ".join([path, *steps, _type_name(culprit)])
    hint = next((hint for kinds, hint in _HINTS if isinstance(culprit, kinds)), _OTHERWISE)
    if _speaks(culprit):
        return CannotPickleError(f"{where} cannot be sent to workers. {why}")
    return CannotPickleError(f"{where} cannot be sent to workers ({_brief(why)}). {hint}")


def explain_call(who: str, what: Any, error: Exception, dump: Dump) -> CannotPickleError:
    """The error to raise for a part of a `cm.map` or `cm.submit`. `who`: "your function"."""
    steps, culprit, why = _search(what, error, dump, into_globals=True)
    hint = next((hint for kinds, hint in _HINTS if isinstance(culprit, kinds)), _OTHERWISE_CALL)
    hint = hint.replace("inside the cell", "inside the function")
    kind = _plain_name(culprit)
    if not steps:
        found = f"{who} is {kind}"
    elif len(steps) == 1 and steps[0].startswith(("global `", "closure `")):
        found = f"{who} uses {steps[0].partition(' ')[2]}, {kind}"
    else:
        found = f"{who} has {kind} in it: {' -> '.join(steps)}"
    if _speaks(culprit):
        return CannotPickleError(f"{found}. {why}")
    return CannotPickleError(f"{found}, which cannot be sent to workers ({_brief(why)}). {hint}")


def _plain_name(value: Any) -> str:
    """`a lock`, `an open file`, or the type's name with its article."""
    if isinstance(value, _LOCKS[:2]):
        return "a lock"
    if isinstance(value, io.IOBase):
        return "an open file"
    name = _type_name(value)
    return a(name)


def a(name: str) -> str:
    """The name with its article.

    >>> a("int"), a("list")
    ('an int', 'a list')
    """
    return f"a{'n' * name.lower().startswith(tuple('aeio'))} {name}"


def _speaks(value: Any) -> bool:
    """Whether it is an object of ours that says by itself why it is not pickled, and what to do."""
    kind = type(value)
    return kind.__module__.startswith("cellmesh.") and "__reduce__" in vars(kind)


def _search(
    value: Any, error: Exception, dump: Dump, into_globals: bool = False
) -> tuple[list[str], Any, Exception]:
    """Walk down while some part of the value fails by itself."""
    steps: list[str] = []
    seen = {id(value)}
    end = time.monotonic() + SECONDS
    while len(steps) < DEPTH:
        parts = chain(_parts(value), _globals(value)) if into_globals else _parts(value)
        found = _failing(parts, seen, end, dump)
        if found is None:
            break
        label, value, error = found
        seen.add(id(value))
        steps.append(label)
    return steps, value, error


def _failing(
    parts: Iterable[tuple[str, Any]], seen: set[int], end: float, dump: Dump
) -> tuple[str, Any, Exception] | None:
    for label, part in islice(parts, WIDTH):
        if id(part) in seen or isinstance(part, (str, bytes, int, float, bool, type(None))):
            continue
        if time.monotonic() > end:
            break
        try:
            dump(part)
        except Exception as error:  # noqa: BLE001 - any error of a user's __reduce__ is what we look for
            return label, part, error
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What hangs directly from a value, each with how to name it."""
    if _speaks(value):
        return
    if isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            try:
                yield f"closure `{name}`", cell.cell_contents
            except ValueError:  # not filled yet
                continue
        for default in value.__defaults__ or ():
            yield "a default", default
        for name, default in (value.__kwdefaults__ or {}).items():
            yield f"default of `{name}`", default
    elif isinstance(value, types.MethodType):
        yield "its object", value.__self__
        yield "its function", value.__func__
    elif isinstance(value, (staticmethod, classmethod)):
        yield "its function", value.__func__
    elif isinstance(value, functools.partial):
        yield "its function", value.func
        yield from ((f"argument {i}", part) for i, part in enumerate(value.args))
        yield from ((f"argument `{name}`", part) for name, part in value.keywords.items())
    elif isinstance(value, dict):
        yield from ((f"item [{_short(key)}]", part) for key, part in value.items())
        yield from ((f"key {_short(key)}", key) for key in value)
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"item [{i}]", part) for i, part in enumerate(value))
    elif isinstance(value, BaseException):
        yield from ((f"argument {i}", part) for i, part in enumerate(value.args))
    attributes = getattr(value, "__dict__", None)
    if attributes:
        yield from ((f"attribute `{name}`", part) for name, part in dict(attributes).items())
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            member = vars(kind).get(slot)
            if isinstance(member, types.MemberDescriptorType):
                try:
                    yield f"attribute `{slot}`", member.__get__(value)
                except AttributeError:  # not set
                    continue


def _globals(value: Any) -> Iterator[tuple[str, Any]]:
    """What a function of the notebook uses of the notebook: it travels with the function."""
    function = getattr(value, "__func__", value)
    if isinstance(function, types.FunctionType):
        for name in names(function.__code__):
            if name in function.__globals__:
                yield f"global `{name}`", function.__globals__[name]


def _type_name(value: Any) -> str:
    kind = type(value)
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if kind.__module__.startswith("cellmesh."):
        return f"cellmesh.{kind.__qualname__}"
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short(value: Any) -> str:
    if not isinstance(value, (str, int, float, bool, bytes, type(None))):
        return f"<{type(value).__name__}>"
    text = repr(value)
    return text if len(text) <= 30 else text[:29] + "…"


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
