"""Calls of a `@cm.batch` method as one: each argument is a list of what the callers gave.

Owns that one run, and that each caller gets its own of what it returned. Never decides who is in it:
`gathering.py` does. Read next: `dealing.py`, `calling.py`.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any

from .callers import Entry
from .calling import Calling, Stopping, arguments
from .dealing import columns, dealt
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
            lists = columns([arguments(entry) for entry in entries])
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
            found = dealt(entries[0].call.method, len(entries), values)
        except Exception as error:  # noqa: BLE001 - iterating may raise anything
            self._all_failed(entries, error)
            return
        for entry, value in zip(entries, found, strict=True):
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
