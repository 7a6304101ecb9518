"""Calls of a `@cm.batch` method as one: each argument is a list of what the callers gave.

Owns that one run and the dealing out of what it returned. Never decides who is in it: `gathering.py` does.
Read next: `calling.py`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from types import CoroutineType
from typing import Any

from .callers import Entry
from .calling import Calling, Stopping, arguments
from .living import Living
from .stopping import is_stop
from .voices import speaking


class Batching:
    """Of one actor."""

    def __init__(self, calling: Calling, living: Living) -> None:
        self._calling = calling
        self._living = living

    def run(self, entries: list[Entry], stopping: Stopping) -> None:
        """Run these calls of one method as one. Interrupted once all are cancelled."""
        first = entries[0]
        speaking.set(first)
        try:
            stopping.begin(first)
            stop = first.stop
            for entry in entries:
                entry.stop = lambda _: stop(first) if all(each.cancelled for each in entries) else None
            lists = _transposed([arguments(entry) for entry in entries])
            values = self._living.method(first.call.method)(*lists)
            if type(values) is CoroutineType:
                stopping.end(first)
                self._calling.overlapping.start(entries, self._await(entries, values))
                return
        except BaseException as error:  # noqa: BLE001 - SystemExit too: the actor lives on
            stopping.end(first)
            left = [entry for entry in entries if not entry.cancelled]
            if left and is_stop(error, first):  # it was cancelled just before they all began
                self._all_failed([entry for entry in entries if entry.cancelled], error)
                self.run(left, stopping)
            else:
                self._all_failed(entries, error)
        else:
            stopping.end(first)
            self._deal(entries, values)

    async def _await(self, entries: list[Entry], coroutine: Any) -> None:
        """In the loop's thread."""
        try:
            values = await coroutine
        except BaseException as error:  # noqa: BLE001 - as above
            self._all_failed(entries, error)
        else:
            self._deal(entries, values)
        self._calling.flush()

    def _deal(self, entries: list[Entry], values: Any) -> None:
        """Each gets its own of what the method returned."""
        try:
            dealt = list(values) if isinstance(values, Iterable) else None
            if dealt is None or len(dealt) != len(entries):
                got = f"no list, but {reprlib.repr(values)}" if dealt is None else f"{len(dealt)} results"
                raise ValueError(
                    f"The batched method {entries[0].call.method!r} was given {len(entries)} calls and "
                    f"returned {got}: it must return a list with one result for each."
                )
        except Exception as error:  # noqa: BLE001 - iterating may raise anything
            self._all_failed(entries, error)
            return
        for entry, value in zip(entries, dealt, strict=True):
            try:
                if isinstance(value, BaseException):
                    raise value
                payload, bag = self._calling.keep(value)
            except BaseException as error:  # noqa: BLE001 - as above
                self._calling.failed(entry, error)
            else:
                self._calling.answered(entry, payload, bag)

    def _all_failed(self, entries: list[Entry], error: BaseException) -> None:
        trace = error.__traceback__
        for entry in entries:
            error.__traceback__ = trace
            self._calling.failed(entry, error)


def _transposed(calls: list[Any]) -> list[list[Any]]:
    """For each positional argument, the list of what the callers gave."""
    counts = {len(args) for args, _ in calls}
    if len(counts) != 1 or any(kwargs for _, kwargs in calls):
        raise TypeError("Calls of a batched method must all give the same number of positional arguments.")
    return [list(column) for column in zip(*(args for args, _ in calls), strict=True)]
