"""One call: its arguments, the method, and what comes of it.

Owns what happens between an entry's turn and its answer. Never takes turns: `host.py` does; never lets an
exception of the user's out. Read next: `living.py`, `stopping.py`, `../results.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.direct import Took
from cellmesh.scheduler.wire.messages import Payload, Ref
from cellmesh.scheduler.worker import errors, results

from .callers import Entry
from .living import Living
from .stopping import InMain, is_stop

_INSTEAD = "keep it in the actor (self.x = ...) and return what describes it"


class Calling:
    """Runs entries on the living object. `sources`: texts of cells, for tracebacks."""

    def __init__(
        self, living: Living, stopping: InMain, label: str, prefix: str, sources: Mapping[str, str]
    ) -> None:
        self._living = living
        self._stopping = stopping
        self._label = label
        self._prefix = prefix
        self._sources = sources
        self.done = 0

    def run(self, entry: Entry) -> None:
        """Run it to its answer, unless it was cancelled before."""
        caller, call = entry.caller, entry.call
        if not caller.take(entry):
            return
        stopping = self._stopping
        try:
            stopping.begin(entry)
            args, kwargs = arguments(entry)
            payload = self.dump(self._living.method(call.method)(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - SystemExit too: the actor lives on
            stopping.end()
            self.failed(entry, error)
        else:
            stopping.end()
            self.done += 1
            caller.answer(call.number, "ok", payload)

    def dump(self, value: Any) -> Payload:
        """Pickle a result; what cannot be raises an error that says so."""
        return results.dump(value, self._prefix, instead=_INSTEAD)

    def failed(self, entry: Entry, error: BaseException) -> None:
        """It raised: that is the caller's; the actor lives on."""
        self.done += 1
        if is_stop(error, entry):
            entry.caller.answer(entry.call.number, "cancelled")
        else:
            entry.caller.answer(entry.call.number, "failed", self.failure(error))
        error.__traceback__ = None  # its frames hold what the call had in hand: arguments, GPU memory

    def failure(self, error: BaseException) -> Payload:
        """An exception as the record that goes to the caller."""
        failure = errors.failure(error, worker=self._label, sources=self._sources)
        return results.dump_failure(failure, self._prefix)


def arguments(entry: Entry) -> Any:
    """(args, kwargs) of a call; large ones are mapped first, and then said to be taken."""
    payload = entry.call.payload
    loaded = codec.loads(payload)
    if type(payload) is Ref:
        entry.caller.say(Took([], [payload.name]))
    return loaded
