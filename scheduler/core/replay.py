"""Runs as text: events to JSON lines and back, and through a new core.

Owns the coding of event dataclasses, by their type hints, so that a new field needs no code here. Never
reads or writes files. Read next: `story.py`.
"""

import json
import types
import typing
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from . import events
from .core import Core
from .events import Event

_EVENTS: dict[str, Any] = {kind.__name__: kind for kind in typing.get_args(Event)}


def dump(history: Iterable[Event]) -> str:
    """One JSON object a line: the event's name and its fields."""
    return "".join(json.dumps([type(event).__name__, _plain(event)]) + "\n" for event in history)


def load(text: str) -> list[Event]:
    """The events of a dump."""
    history: list[Event] = []
    for line in text.splitlines():
        if line.strip():
            name, values = json.loads(line)
            history.append(_build(_EVENTS[name], values))
    return history


def replay(history: Iterable[Event]) -> Core:
    """A core that has seen these events; its commands are dropped."""
    core = Core()
    for event in history:
        core.handle(event)
    return core


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, vars(events))


def _build(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        kinds = _hints(hint)
        # Fields that are missing take their defaults, so older runs can be loaded.
        return hint(**{name: _build(kinds[name], each) for name, each in value.items()})
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_build(arguments[0], each) for each in value)
        return tuple(_build(each_hint, each) for each_hint, each in zip(arguments, value, strict=True))
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _build(next(each for each in arguments if each is not type(None)), value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value
