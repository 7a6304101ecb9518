"""One call: its arguments, the method, and what comes of it.

Owns what happens between an entry's turn and its answer, in whichever thread has the turn. Never takes
turns: `turns.py` does; never lets an exception of the user's out. Read next: `living.py`, `stopping.py`,
`streaming.py`, `batching.py`, `../results.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from msgspec.structs import replace

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.objects.shelf import Bag, Shelf
from cellmesh.scheduler.wire.direct import Answer, Took
from cellmesh.scheduler.wire.messages import Payload, Ref
from cellmesh.scheduler.worker import errors, results

from . import memory
from .callers import Entry
from .living import Living
from .overlapping import Overlapping
from .stopping import InMain, InThread, is_stop
from .streaming import Stream, drive
from .voices import Voices, speaking

_INSTEAD = "keep it in the actor (self.x = ...) and return what describes it"

Stopping = InMain | InThread


class StreamLostError(RuntimeError):
    """A stream was not taken to its end before its process died."""


class Calling:
    """Runs entries on the living object. `sources`: texts of cells, for tracebacks.

    `flush` has what was said sent; threads that nobody waits behind call it themselves.
    """

    def __init__(
        self,
        living: Living,
        voices: Voices,
        flush: Callable[[], None],
        label: str,
        prefix: str,
        sources: Mapping[str, str],
    ) -> None:
        self._living = living
        self._voices = voices
        self.flush = flush
        self._label = label
        self._prefix = prefix
        self._sources = sources
        self.shelf: Shelf | None = None  # with replay there is none: an answer must outlive the process
        self.overlapping = Overlapping(self._unanswered)
        self.done = 0
        self.cut = False  # a call was interrupted somewhere: no replay does the same

    def begins(self, entry: Entry) -> bool:
        """Whether it may run now: it was not cancelled, and could be written down where that is to be."""
        try:
            return entry.caller.take(entry)
        except Exception as error:  # noqa: BLE001 - a full disk, say: it is this call's trouble alone
            self.failed(entry, error)
            return False

    def call(self, entry: Entry, stopping: Stopping) -> None:
        """Run it: to its answer, or to where it goes on by itself."""
        call = entry.call
        speaking.set(entry)
        try:
            stopping.begin(entry)
            args, kwargs = arguments(entry)
            value = self._living.method(call.method)(*args, **kwargs)
            kind = type(value)
            if call.kind == "stream":
                self._stream(entry, value, stopping)
                return
            if kind is CoroutineType:
                stopping.end(entry)
                self.overlapping.start([entry], self._await(entry, value))
                return
            payload, bag = self.keep(value)
        except BaseException as error:  # noqa: BLE001 - SystemExit too: the actor lives on
            stopping.end(entry)
            self.failed(entry, error)
        else:
            stopping.end(entry)
            self.answered(entry, payload, bag)

    def go_on(self, entry: Entry, stopping: Stopping) -> None:
        """A stream that rested has room again, or is to be closed."""
        speaking.set(entry)
        try:
            stopping.begin(entry)
            self._drive(entry, stopping)
        except BaseException as error:  # noqa: BLE001 - as above
            stopping.end(entry)
            self.failed(entry, error)

    def exhaust(self, entry: Entry, stopping: Stopping) -> None:
        """Run a stream of an earlier life to its end, for the state's sake: its items are lost."""
        caller, number = entry.caller, entry.call.number
        entry.call = replace(entry.call, room=sys.maxsize)
        self.call(entry, stopping)
        self.overlapping.settle()
        if caller.kept is not None and caller.kept[number].state == "ok":
            lost = StreamLostError(
                "The stream was cut: the actor died over it, and its log (replay=True) has calls, no items. "
                "The state is as after the whole stream, so a call that streams it again adds to that."
            )
            caller.kept[number] = Answer(number, "failed", self.failure(lost))

    def dump(self, value: Any) -> Payload:
        """Pickle a value; what cannot be raises an error that says so."""
        return results.dump(value, self._prefix, instead=_INSTEAD)

    def keep(self, value: Any) -> tuple[Payload, Bag | None]:
        """As `dump`, but what lies in a device's memory stays there, in the bag."""
        if self.shelf is None or type(value) in results.PLAIN:
            return self.dump(value), None
        bag = self.shelf.bag()
        payload = results.dump(value, self._prefix, instead=_INSTEAD, bag=bag)
        return payload, self.shelf.put(bag)

    def answered(self, entry: Entry, payload: Payload, bag: Bag | None = None) -> None:
        """It succeeded."""
        self._voices.over(entry)
        self.done += 1
        entry.caller.answer(entry.call.number, "ok", payload, bag)

    def failed(self, entry: Entry, error: BaseException) -> None:
        """It raised: that is the caller's; the actor lives on."""
        if isinstance(getattr(entry.stream, "items", None), GeneratorType):
            error = _closed(entry.stream.items, error)
        self._voices.over(entry)
        self.done += 1
        if is_stop(error, entry):
            self.cut = True
            entry.caller.answer(entry.call.number, "cancelled")
        else:
            entry.caller.answer(entry.call.number, "failed", self.failure(error))
        error.__traceback__ = None  # its frames hold what the call had in hand: arguments, GPU memory

    def failure(self, error: BaseException) -> Payload:
        """An exception as the record that goes to the caller."""
        return results.dump_failure(self.explained(error), self._prefix)

    def explained(self, error: BaseException) -> Failure:
        """Everything of an exception that a person needs."""
        memory.explain(error)
        return errors.failure(error, worker=self._label, sources=self._sources)

    # --- streams ---------------------------------------------------------------------------------

    def _stream(self, entry: Entry, value: Any, stopping: Stopping) -> None:
        """The method has given what to iterate over. In the scope of `call`'s except."""
        waits = type(value) is AsyncGeneratorType
        gathers = waits or isinstance(stopping, InMain)
        stream = entry.stream = Stream(entry, value, self.dump, gathers=gathers)
        if waits:
            stopping.end(entry)
            self.overlapping.start([entry], self._await_stream(entry, stream))
            return
        stream.items = iter(value)
        self._drive(entry, stopping)

    def _drive(self, entry: Entry, stopping: Stopping) -> None:
        if drive(entry.stream, stopping.check, self.flush):
            stopping.end(entry)
            self.answered(entry, b"")
        else:
            stopping.end(entry)
            self.flush()

    # --- in the loop's thread --------------------------------------------------------------------

    async def _await(self, entry: Entry, coroutine: Any) -> None:
        try:
            payload, bag = self.keep(await coroutine)
        except BaseException as error:  # noqa: BLE001 - as above
            self.failed(entry, error)
        else:
            self.answered(entry, payload, bag)
        self.flush()

    async def _await_stream(self, entry: Entry, stream: Stream) -> None:
        try:
            async for item in stream.items:
                if stream.add(item):
                    self.flush()
                elif stream.waits == 1:
                    self.overlapping.when_idle(partial(self._send, stream))
                await stream.has_room(self.overlapping.soon)
            stream.send()
        except BaseException:  # noqa: BLE001 - as above
            try:
                await stream.items.aclose()
            except BaseException as another:  # noqa: BLE001 - its clean-up is user code, too
                error = another
            self.failed(entry, error)
        else:
            self.answered(entry, b"")
        self.flush()

    def _unanswered(self, entries: list[Entry], error: BaseException) -> None:
        for entry in entries:
            self.failed(entry, error)
        self.flush()

    def _send(self, stream: Stream) -> None:
        with suppress(Exception):  # what cannot be pickled the generator's end meets again
            stream.send()
        self.flush()


def arguments(entry: Entry) -> Any:
    """(args, kwargs) of a call; large ones are mapped first, and then said to be taken."""
    payload = entry.call.payload
    if entry.whole is not None:
        return codec.loads_whole(memoryview(bytearray(entry.whole)))
    loaded = codec.loads(payload)
    if type(payload) is Ref:
        entry.caller.say(Took([], [payload.name]))
    return loaded


def _closed(items: Any, error: BaseException) -> BaseException:
    """Have a generator clean up after itself; the error that ended it, or the one that this raises."""
    try:
        items.close()
    except BaseException as another:  # noqa: BLE001 - it is user code
        return another
    return error
