"""A frame for what has none: `time.sleep`, a class or any other callable that is not written in Python.

Owns that frame. Without it a signal that comes while such a call is at work finds the worker's own frames,
out of which nothing is raised. Never does anything else. Read next: `interrupts.py`.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any


def framed(function: Any) -> Any:
    """The function, or one in Python that calls it."""
    if isinstance(function, FunctionType) or not callable(function):
        return function
    wanted: Callable[..., Any] = function

    def call(*args: Any, **kwargs: Any) -> Any:
        return wanted(*args, **kwargs)

    return call
