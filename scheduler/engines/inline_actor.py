"""An actor of the inline engine: an object in the kernel's own process; methods run in the caller's thread.

Owns the object, and what is answered to the messages that an actor's process would get. For debugging:
breakpoints in methods work. Never restarts anything. Read next: `inline_lives.py`, `../wire/direct.py`.
"""

import builtins
import inspect
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.members import batch_of, members_of
from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.actors import ActorInfo, StartActor
from cellmesh.scheduler.wire.messages import Item, Output, Payload, Run, TaskWire
from cellmesh.scheduler.worker import errors
from cellmesh.scheduler.worker.host import dealing, state
from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.loops import Loop
from cellmesh.scheduler.worker.runner import Runner

from .inline_worker import shell

Tell = Callable[[direct.FromHost], None]


class InlineActor:
    """One object, and who calls it."""

    def __init__(self, wanted: StartActor, kind: Payload) -> None:
        self.wanted = wanted
        self._loop = Loop(Interrupts())
        self._object: Any = None
        self._streams: dict[int, Iterator[Any]] = {}
        self._namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}  # of cells
        self._done = self._running = 0
        self.info = ActorInfo(
            id=wanted.actor,
            name=wanted.name,
            title=wanted.title,
            session="inline",
            state="alive",
            incarnation=1,
            starter="this process",
            cell=wanted.cell,
            opened=time.time(),
            options=wanted.options,
            same=wanted.same,
        )
        try:
            args, kwargs = codec.loads(wanted.payload)
            self._object = codec.loads(kind)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is the starter's, with its own traceback
            failed = self._failure(error)
            self.end("was not started: its __init__ failed", failure=failed)

    def end(self, why: str, *, failure: bytes = b"") -> ActorInfo:
        """It is no more; what it is now."""
        self._object = None
        self._streams.clear()
        self._loop.close()
        self.info = msgspec.structs.replace(self.info, state="ended", why=why, failure=failure)
        return self.info

    def take(self, message: direct.ToHost, answer: Tell) -> None:
        """Do what the message asks, now."""
        match message:
            case direct.Greet():
                answer(self._met())
            case direct.Call(number, method, payload, kind, _, room):
                self._call(number, method, payload, kind, room, answer)
            case direct.More(number, items):
                self._more(number, items, answer)
            case direct.CancelCall(number):
                if self._streams.pop(number, None) is not None:
                    answer(direct.Answer(number, "cancelled"))
            case direct.AskFacts(request):
                answer(direct.Facts(request, self._done, 0, self._running, 0, 0.0, "runs in this process"))

    def _met(self) -> direct.Met:
        found = members_of(type(self._object))
        methods, streams, retry = list(found.methods), list(found.streams), list(found.retry)
        return direct.Met(self.info.id, 1, methods, streams, retry, [])

    def _call(self, number: int, method: str, payload: Payload, kind: str, room: int, answer: Tell) -> None:
        self._running += 1
        try:
            if kind == "reload":
                self._object.__class__ = codec.loads(payload)
                answer(self._met())
                value = None
            elif kind == "cell":
                self._cell(number, payload, answer)
                return
            elif kind == "save":
                value = self._measured()
            elif kind in ("call", "stream"):
                args, kwargs = codec.loads(payload)
                value = self._value(method, args, kwargs, batched=kind == "call")
            else:
                raise RuntimeError(f"{kind}: the inline engine does not do that; use cm.connect('embedded').")
            if kind == "stream":
                self._streams[number] = _iterated(value, self._loop)
                self._more(number, room, answer)
                return
            answer(direct.Answer(number, "ok", _dump(value, method)))
            self._done += 1
        except KeyboardInterrupt:  # the notebook's Stop
            answer(direct.Answer(number, "cancelled"))
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too: it is the caller's
            answer(direct.Answer(number, "failed", self._failure(error)))
        finally:
            self._running -= 1

    def _value(self, method: str, args: Any, kwargs: Any, *, batched: bool) -> Any:
        """What the method returns; one that takes many calls as one has each by itself."""
        batched = batched and batch_of(type(self._object), method) is not None
        if batched:
            args, kwargs = dealing.columns([(args, kwargs)]), {}
        value = getattr(self._object, method)(*args, **kwargs)
        if inspect.iscoroutine(value):
            value = self._loop.run(value)
        if batched:
            (value,) = dealing.dealt(method, 1, value)
            if isinstance(value, BaseException):
                raise value
        return value

    def _measured(self) -> int:
        """The bytes of its state. Nothing dies here, but what cannot be written is an error as elsewhere."""
        file = io.BytesIO()
        state.write(self._object, file, None)
        return file.tell()

    def _cell(self, number: int, payload: Payload, answer: Tell) -> None:
        code, blobs = codec.loads(payload)
        items: list[Item] = []
        runner = Runner(
            number=None,
            label=f"actor {self.wanted.name!r} (inline)",
            prefix="",
            emit=lambda told: answer(direct.Said(number, told)) if isinstance(told, Output) else None,
            report=lambda report: items.extend(report.items),
            namespace=self._namespace,
        )
        self._namespace["self"] = self._object
        try:
            with runner.streams.borrowed(), runner.notebook.borrowed(shell()):
                runner.run(Run(number, 0, TaskWire(0, "cell", codec.dumps(code)), ""), blobs)
        finally:
            runner.close()
        if not items:  # the notebook's Stop, taken by the runner
            raise KeyboardInterrupt
        answer(direct.Answer(number, "ok" if items[0].ok else "failed", items[0].payload))

    def _more(self, number: int, items: int, answer: Tell) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        try:
            for value in islice(stream, items):
                answer(direct.Yielded(number, codec.dumps([value]), 1))
                items -= 1
            if items and self._streams.pop(number, None) is not None:
                answer(direct.Answer(number, "ok"))
        except KeyboardInterrupt:
            self._streams.pop(number, None)
            answer(direct.Answer(number, "cancelled"))
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            self._streams.pop(number, None)
            answer(direct.Answer(number, "failed", self._failure(error)))

    def _failure(self, error: BaseException) -> bytes:
        failure = errors.failure(error, worker=f"actor {self.wanted.name or self.wanted.title}", sources={})
        try:
            data = codec.dumps(failure)
        except Exception:  # noqa: BLE001 - pickling runs code of the exception's own; its text goes instead
            data = codec.dumps(replace(failure, exception=None))
        assert isinstance(data, bytes)
        return data


def _iterated(value: Any, loop: Loop) -> Iterator[Any]:
    if not inspect.isasyncgen(value):
        yield from value
        return
    while True:
        try:
            yield loop.run(value.__anext__())
        except StopAsyncIteration:
            return


def _dump(value: Any, method: str) -> Payload:
    try:
        return codec.dumps(value)
    except Exception as error:  # noqa: BLE001 - pickling runs code of the value's own
        raise codec.CannotPickleError(
            f"The result of {method}, a {type(value).__qualname__}, cannot be pickled: {error}. Return plain "
            "data (numbers, arrays, state_dict()), or keep it in the actor."
        ) from None
