"""Arguments on their way out: pickled at the call, also when they contain Futures that are not done yet.

Owns `Packed`. Never submits. A finished Future travels as the payload of its result, without a copy. If one
is unfinished, the arguments are kept as a pickle (so that later changes to them do not matter) and pickled
again once everything they wait for is there. Read next: `futures.py`, `submitting.py`.
"""

import concurrent.futures
import io
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cellmesh.scheduler.objects import codec, makers, packets, plain as quickly, segments, shelf
from cellmesh.scheduler.objects.packets import Packet
from cellmesh.scheduler.objects.segments import StoreFullError
from cellmesh.scheduler.wire.messages import INLINE_LIMIT, Payload, Ref

from . import blame
from .futures import Future


@dataclass(slots=True)
class Packed:
    """Pickled arguments. `payload` is None as long as `waits` are not done."""

    payload: Payload | None
    holds: list[Future] = field(default_factory=list)  # must live until the task is over
    waits: list[Future] = field(default_factory=list)
    packet: Packet | None = None  # instead of the payload, which is empty then
    bag: shelf.Bag | None = None  # what stays in this process: held until the call is over
    _kept: bytes = b""
    _tokens: list[Future] = field(default_factory=list)
    _stays: bool = False
    _lasts: bool = False

    def finish(self, prefix: str) -> Payload:
        """Pickle for good, now that all of `waits` are done; raises what one of them raised."""
        if self.payload is None:
            value = _Restorer(self._kept, self._tokens).load()
            again = pack(value, prefix, stays=self._stays, lasts=self._lasts)
            assert again.payload is not None
            self.payload, self.bag = again.payload, again.bag
        return self.payload


def pack(value: Any, prefix: str, *, joins: bool = False, stays: bool = False, lasts: bool = False) -> Packed:
    """Pickle `value`. Raises what a failed Future in it raised. With `joins` it may be a `packet`.

    With `stays` GPU memory of this actor's process stays there, for as long as the `Packed` lives. What
    `lasts` may be loaded when the Futures in it are gone, and their actors.
    """
    futures: list[Future] = []

    def persist(obj: Any) -> Payload | None:
        if not isinstance(obj, Future):
            return None
        futures.append(obj)
        if not obj.done():
            return b""
        return codec.dumps(obj.result(0)) if lasts and obj.stays else given(obj, prefix)

    own = shelf.here if stays else None
    bag = None if own is None else own.bag()
    with makers.undone(lambda name: makers.freed([name])):
        if joins:
            payload = packets.dumps(value, prefix, persist=persist)
        else:
            payload = codec.dumps(value, prefix, persist=persist, pickler=partial(codec.Pickler, bag=bag))
    waits = [future for future in futures if not future.done()]
    if not waits:
        if isinstance(payload, Packet):
            return Packed(b"", futures, packet=payload)
        return Packed(payload, futures, bag=None if own is None or bag is None else own.put(bag))
    if isinstance(payload, Ref):
        makers.freed([payload.name])  # it has holes where the unfinished ones go
    tokens: list[Future] = []
    bag = None if own is None else own.bag()

    def token(obj: Any) -> Payload | None:
        if not isinstance(obj, Future):
            return None
        tokens.append(obj)
        return b"%d" % (len(tokens) - 1)

    kept = codec.dumps(value, persist=token, pickler=partial(codec.Pickler, bag=bag))
    assert isinstance(kept, bytes)
    held = None if own is None or bag is None else own.put(bag)
    return Packed(None, futures, waits, bag=held, _kept=kept, _tokens=tokens, _stays=stays, _lasts=lasts)


def given(future: Future, prefix: str) -> Payload:
    """What stands for a finished Future in what is made under this prefix, and goes where that goes."""
    payload = future.payload()
    if isinstance(payload, Ref) and not (prefix and payload.name.startswith(segments.realm(prefix))):
        return codec.dumps(future.result(0))  # it lies where that does not reach
    return payload


def persist(obj: Any, prefix: str) -> Payload | None:
    """What stands for a Future, waiting for it if need be; None for other objects."""
    if not isinstance(obj, Future):
        return None
    obj.result()
    return given(obj, prefix)


def plain(value: Any) -> Packed | None:
    """What `pack` makes of small plain data, by a short cut; None for anything else."""
    data = quickly.dumps(value)
    return Packed(data) if data is not None and len(data) <= INLINE_LIMIT else None


def explained(error: Exception, parts: Iterable[tuple[str, Any]]) -> Exception:
    """What to raise when `pack` failed: one clear error about the first part that cannot travel.

    Each part comes with who it is ("your function"). An error that no part causes (that of a failed Future,
    shared memory that is full) is returned as it is.
    """
    if isinstance(error, StoreFullError):
        return error
    for who, value in parts:
        try:
            _dump(value)
        except Exception as found:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
            return blame.explain_call(who, value, found, _dump)
    return error


def _dump(value: Any) -> object:
    return codec.dumps(value, persist=_without_futures)


def _without_futures(obj: Any) -> Payload | None:
    return b"" if isinstance(obj, Future) else None


class _Restorer(codec.Unpickler):
    def __init__(self, kept: bytes, tokens: list[Future]) -> None:
        super().__init__(io.BytesIO(kept))
        self._tokens = tokens

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (codec.__name__, codec.loads.__name__):
            tokens = self._tokens  # not of `self`: a cycle would keep the Futures until it is collected
            return lambda token: tokens[int(token)]
        return super().find_class(module, name)


def when_done(futures: Iterable[concurrent.futures.Future[Any]], then: Callable[[], None]) -> None:
    """Call `then` once all of these are done (from the thread that finishes the last one)."""
    left = list(futures)
    once = [then]  # taken out as it is called: a done Future keeps its callbacks, and these would keep it

    def step(_: Any = None) -> None:
        while left and left[-1].done():
            left.pop()
        if left:
            left[-1].add_done_callback(step)
        else:
            _in_turn(once.pop())

    step()


def _in_turn(then: Callable[[], None]) -> None:
    """Call it, but not inside another: a long chain of calls fails in a loop, and not deep in a recursion."""
    if getattr(_turns, "waiting", None) is not None:
        _turns.waiting.append(then)
        return
    waiting = _turns.waiting = deque([then])
    try:
        while waiting:
            waiting.popleft()()
    finally:
        _turns.waiting = None
        for left in waiting:  # there are some only after a KeyboardInterrupt
            _in_turn(left)


_turns = threading.local()
