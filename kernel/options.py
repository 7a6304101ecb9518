"""The options of map and submit, checked.

Owns `Options` and what is said about a bad one. Never launches. Read next: `submitting.py`, `mapping.py`.
"""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .session import Session

RESERVED = ("gpus", "retries", "timeout", "background", "stop_on_error", "seed", "kwargs")


@dataclass(frozen=True, slots=True)
class Options:
    """How something runs."""

    gpus: int = 0
    retries: int = 2
    timeout: float | None = None
    background: bool = False
    stop_on_error: bool = False
    seed: int | None = None


def checked(session: Session, options: Options) -> Options:
    """The options, or an error that says what is wrong with one."""
    if not isinstance(options.gpus, int) or options.gpus < 0:
        raise ValueError(f"gpus={options.gpus!r}: whole GPUs only (0, 1, 2, ...); parts of one come later.")
    if options.gpus > (have := len(session.engine.capacity().gpus)):
        raise ValueError(f"gpus={options.gpus}: this machine has {have or 'none'}.")
    if not isinstance(options.retries, int) or options.retries < 0:
        raise ValueError(f"retries={options.retries!r}: a number of times (0, 1, 2, ...).")
    if options.timeout is not None and not options.timeout > 0:
        raise ValueError(f"timeout={options.timeout!r}: a number of seconds above 0, or None.")
    if options.seed is not None and not isinstance(options.seed, int):
        raise ValueError(f"seed={options.seed!r}: an int, or None to leave random state alone.")
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
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.65)
        hint = f"; did you mean {close[0]}?" if close else f", and {title_of(function)} no such argument."
        raise TypeError(
            f"cm.{where} has no option {name!r}{hint} (pass arguments of your function in kwargs={{}})"
        )


def merged_kwargs(more: dict[str, Any], kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The function's keyword arguments; `kwargs` is the way in for those named like an option."""
    return {**more, **(kwargs or {})}


def title_of(function: Any) -> str:
    """What a person calls the function."""
    if not callable(function):
        raise TypeError(f"{function!r} is not callable: the first argument is the function to run.")
    inner = getattr(function, "func", None)  # a functools.partial
    name = getattr(function, "__qualname__", None) or getattr(inner, "__qualname__", None)
    return str(name or type(function).__qualname__).replace("<locals>.", "").rpartition("..")[2]
