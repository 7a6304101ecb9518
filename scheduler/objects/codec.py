"""Objects to payloads and back: pickle 5, with large buffers out of band in shared memory.

Owns what is pickled how. Never keeps objects. Small results are plain pickles inside messages; anything
over `INLINE_LIMIT` is one segment whose buffers are used in place, read-only, by whoever loads it.
Read next: `plain.py` (the short cut), `layout.py`, `tensors.py`, `namespaces.py` (how a cell's functions find
their names again).
"""

import hashlib
import io
import pickle
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import cloudpickle

from cellmesh.scheduler.wire.messages import INLINE_LIMIT, Payload, Ref

from . import arrays, classes, layout, makers, plain, segments, staying
from .tensors import Storages, small

COPIED = 4096
"""Buffers of up to so many bytes are copied with the pickle: cheaper, and their reader may write to them."""

_FILES = (io.TextIOWrapper, io.BufferedReader, io.BufferedRandom, io.FileIO)

Persist = Callable[[Any], Payload | None]
"""Given an object, the payload that already holds its value (a Future's), or None to pickle it."""


guests: list[Callable[[Any], Any]] = []
"""How objects of a library whose engine we are connected to are pickled; each answers None for all others."""


class CannotPickleError(TypeError):
    """An object cannot be pickled; the message names it, where it hangs, and what to do."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle, with Futures replaced by the payload that holds their result.

    Not by a `persistent_id`, which is called for each number in a list too.
    """

    def __init__(
        self,
        file: io.BytesIO,
        *,
        persist: Persist | None = None,
        bag: staying.Bag | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(file, **kwargs)
        self._persist = persist
        self._bag = bag
        self.storages = Storages()
        if bag is not None:
            bag.begin()

    def reducer_override(self, obj: Any) -> Any:
        if self._persist is not None:
            payload = self._persist(obj)
            if payload is not None:
                return loads, ((payload.name, payload.size) if isinstance(payload, Ref) else payload,)
        return self.reduce(obj)

    def reduce(self, obj: Any) -> Any:
        """Refuse open files: cloudpickle would send a copy of what is left to read, one for each worker."""
        if isinstance(obj, type):
            classes.going_out(obj)
        elif isinstance(obj, _FILES):
            raise CannotPickleError(f"cannot pickle an open file, {getattr(obj, 'name', '?')!r}")
        elif isinstance(obj, BaseException) and "tblib" in sys.modules:
            return obj.__reduce_ex__(5)  # not as tblib has it (Dask loads it): without `__init__`
        elif (thing := staying.of(obj)) is not None:
            return thing.copy() if self._bag is None else self._bag.reduce(thing)
        for reduce in guests:
            if (reduced := reduce(obj)) is not None:
                return reduced
        if (reduced := arrays.reduce(obj) or self.storages.reduce(obj)) is not None:
            return reduced
        return super().reducer_override(obj)


class Unpickler(pickle.Unpickler):
    """Reads what `dumps` made."""

    def find_class(self, module: str, name: str) -> Any:
        return classes.find(module, name) or super().find_class(module, name)


def dumps(
    obj: Any,
    prefix: str = "",
    *,
    persist: Persist | None = None,
    pickler: Callable[..., Pickler] = Pickler,
    limit: int = INLINE_LIMIT,
) -> Payload:
    """Pickle an object: inline bytes if small, else a new segment whose name begins with `prefix`.

    An empty prefix keeps everything inline.

    >>> loads(dumps({"a": 1}))
    {'a': 1}
    """
    data = plain.dumps(obj) or small(obj)
    if data is not None:
        return data if len(data) <= limit or not prefix else makers.write(prefix, layout.parts(data))
    pickled, views, private = apart(obj, persist=persist, pickler=pickler)
    return together(obj, prefix, pickled, views, private, persist=persist, pickler=pickler, limit=limit)


def apart(
    obj: Any, *, persist: Persist | None = None, pickler: Callable[..., Pickler] = Pickler
) -> tuple[memoryview, list[memoryview], set[int]]:
    """A pickle and the buffers that it refers to; of these, the positions that readers may write to."""
    make = pickle.Pickler if plain.is_arrays(obj) else partial(pickler, persist=persist)
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []

    def outside(buffer: pickle.PickleBuffer) -> bool:
        inside = buffer.raw().nbytes <= COPIED
        if not inside:
            buffers.append(buffer)
        return inside

    pickling = make(file, protocol=5, buffer_callback=outside)
    pickling.dump(obj)
    ours = {id(buffer) for buffer in pickling.storages.private} if isinstance(pickling, Pickler) else set()
    private = {position for position, buffer in enumerate(buffers) if id(buffer) in ours}
    return file.getbuffer(), [buffer.raw() for buffer in buffers], private


def together(
    obj: Any,
    prefix: str,
    pickled: memoryview,
    views: list[memoryview],
    private: set[int],
    *,
    persist: Persist | None = None,
    pickler: Callable[..., Pickler] = Pickler,
    limit: int = INLINE_LIMIT,
) -> Payload:
    """The payload of an object that was taken apart."""
    if len(pickled) + sum(view.nbytes for view in views) > limit and prefix:
        return makers.write(prefix, layout.parts(pickled, views, private), private=bool(private))
    if not views:
        return bytes(pickled)
    file = io.BytesIO()  # small buffers travel in the pickle, and so come back writable
    make = pickle.Pickler if plain.is_arrays(obj) else partial(pickler, persist=persist)
    make(file, protocol=5).dump(obj)
    return file.getvalue()


def loads(payload: Payload | tuple[str, int]) -> Any:
    """The object back; buffers of a segment are used in place and are read-only."""
    if isinstance(payload, bytes):
        if not plain.refers(payload):
            return pickle.loads(payload)
        return Unpickler(io.BytesIO(payload)).load()
    ref = Ref(*payload) if isinstance(payload, tuple) else payload
    return loads_whole(segments.view(ref))


def loads_whole(content: memoryview) -> Any:
    """The object out of a segment's content."""
    pickled, *buffers = layout.buffers_of(content)
    return Unpickler(io.BytesIO(pickled), buffers=buffers).load()


def size_of(payload: Payload) -> int:
    """How many bytes a payload stands for."""
    return payload.size if isinstance(payload, Ref) else len(payload)


def digest(payload: Payload) -> str:
    """A name for the content; equal content, equal name."""
    content = segments.view(payload) if isinstance(payload, Ref) else payload
    return hashlib.blake2b(content, digest_size=16).hexdigest()
