"""The options of map, submit and task, checked.

Owns `Options` and what is said about a bad one. Never launches. Read next: `calls.py`, `tasks.py`.
"""

import difflib
import inspect
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .session import Session

Exceptions = type[Exception] | tuple[type[Exception], ...]

_UNITS: dict[str, int] = {"": 1, "b": 1} | {
    unit: base**power
    for power, letter in enumerate("kmgt", start=1)
    for unit, base in ((letter, 1000), (f"{letter}b", 1000), (f"{letter}i", 1024), (f"{letter}ib", 1024))
}


@dataclass(frozen=True, slots=True)
class Options:
    """How something runs."""

    cpus: float = 1
    gpus: float = 0
    memory: int = 0
    retries: int = 2
    retry_on: tuple[type[Exception], ...] = ()
    timeout: float | None = None
    priority: int = 0
    name: str = ""
    background: bool = False
    stop_on_error: bool = False
    seed: int | None = None
    isolate: bool = False

    def wire(self, session: Session) -> dict[str, Any]:
        """These fields of a `TaskWire`; what it refers to is made available."""
        return {
            "cpus": self.cpus,
            "gpus": self.gpus,
            "memory": self.memory,
            "retries": self.retries,
            "priority": self.priority,
            "timeout": self.timeout or 0,
            "retry_on": session.put_value(self.retry_on) if self.retry_on else "",
            "isolate": self.isolate,
        }


DEFAULT = Options()
RESERVED = (*Options.__dataclass_fields__, "kwargs")


def changed(base: Options, given: Mapping[str, Any]) -> Options:
    """`base` with what was given (None: not given), or an error that says what is wrong with it."""
    found = {name: value for name, value in given.items() if value is not None}
    if not found:
        return base
    for name, value in found.items():
        if name not in Options.__dataclass_fields__:
            raise TypeError(f"there is no option {name!r}{_near(name, [*Options.__dataclass_fields__])}")
        found[name] = _READERS[name](value)
    return replace(base, **found)


def possible(session: Session, options: Options) -> Options:
    """The options, or an error if the pool can never do it."""
    if options is DEFAULT or (options.gpus == 0 and options.cpus <= 1 and not options.memory):
        return options
    capacity = session.engine.capacity()
    gpus = len(capacity.gpus)
    if options.gpus > gpus:
        raise ValueError(f"gpus={options.gpus:g}: this machine has {gpus or 'none'}.")
    if options.cpus > capacity.cpus and session.engine.name != "inline":  # which runs anything, one at a time
        raise ValueError(
            f"cpus={options.cpus:g}: this pool has {capacity.cpus} (CELLMESH_CPUS sets that when it starts)."
        )
    if capacity.memory and options.memory > capacity.memory:
        there = f"{capacity.memory / 1e9:.1f} GB"
        raise ValueError(f"memory={options.memory / 1e9:g} GB for each call: this machine has {there}.")
    return options


def check_names(where: str, function: Any, more: Mapping[str, Any]) -> None:
    """A keyword that the function does not take is a misspelled option, most likely."""
    if not more or not callable(function):
        return
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return  # it does not tell
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    taken = {one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY}
    for name in more:
        if name in taken:
            continue
        known = [one for one in RESERVED if where == "map" or one != "stop_on_error"]
        hint = _near(name, known) or f", and {title_of(function)} no such argument."
        raise TypeError(
            f"cm.{where} has no option {name!r}{hint} (pass arguments of your function in kwargs={{}})"
        )


def add_named(more: dict[str, Any], kwargs: Mapping[str, Any]) -> None:
    """Those of the function's arguments that are named like options join the others."""
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs={kwargs!r}: a dict of your function's arguments, by name.")
    more.update(kwargs)


def title_of(function: Any) -> str:
    """What a person calls the function."""
    if not callable(function):
        raise TypeError(f"{function!r} is not callable: the first argument is the function to run.")
    inner = getattr(function, "func", None)  # a functools.partial
    name = getattr(function, "__qualname__", None) or getattr(inner, "__qualname__", None)
    return str(name or type(function).__qualname__).replace("<locals>.", "").rpartition("..")[2]


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.65)
    return f"; did you mean {close[0]}?" if close else ""


# --- reading one option -----------------------------------------------------------------------------


def size_of(value: Any) -> int:
    """Bytes, as a number or as people write them.

    >>> size_of(10), size_of("2GB"), size_of("512 MiB"), size_of("1.5k")
    (10, 2000000000, 536870912, 1500)
    """
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", value)
        unit = _UNITS.get(match[2].lower()) if match else None
        if match and unit:
            return round(float(match[1]) * unit)
    elif is_whole(value) and int(value) >= 0:
        return int(value)
    raise ValueError(f'memory={value!r}: bytes, or text like "2GB" or "512 MiB".')


def _cpus(value: Any) -> float:
    if not is_number(value) or not 0 < value < float("inf"):
        raise ValueError(f"cpus={value!r}: how many cores each call takes (1, 2, ... or a part like 0.5).")
    return float(value)


def read_gpus(value: Any) -> float:
    if not is_number(value) or value < 0 or (value > 1 and value != int(value)):
        raise ValueError(f"gpus={value!r}: whole GPUs (0, 1, 2, ...), or a part of one (0.5).")
    return float(value)


def _retries(value: Any) -> int:
    if not is_whole(value) or value < 0:
        raise ValueError(f"retries={value!r}: a number of times (0, 1, 2, ...).")
    return int(value)


def _retry_on(value: Any) -> tuple[type[Exception], ...]:
    kinds = value if isinstance(value, tuple | list) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ValueError(
                f"retry_on={value!r}: a subclass of Exception after which a call is tried again, or a tuple "
                "of these (OSError, TimeoutError)."
            )
    return tuple(kinds)


def _timeout(value: Any) -> float:
    if not is_number(value) or not 0 < value < float("inf"):
        raise ValueError(f"timeout={value!r}: a number of seconds above 0, or None.")
    return float(value)


def _whole(name: str) -> Any:
    def read(value: Any) -> int:
        if not is_whole(value):
            raise ValueError(f"{name}={value!r}: {_WHOLE[name]}")
        return int(value)

    return read


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"name={value!r}: a text, by which people find the work in cm.jobs().")
    return value


def is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real)  # NumPy's, too


def is_whole(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Integral)


_WHOLE = {
    "priority": "a whole number; the higher, the sooner (0 for others).",
    "seed": "an int, or None to leave random state alone.",
}
_READERS: dict[str, Any] = {
    "cpus": _cpus,
    "gpus": read_gpus,
    "memory": size_of,
    "retries": _retries,
    "retry_on": _retry_on,
    "timeout": _timeout,
    "priority": _whole("priority"),
    "name": _name,
    "background": bool,
    "stop_on_error": bool,
    "seed": _whole("seed"),
    "isolate": bool,
}
