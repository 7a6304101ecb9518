"""Objects to payloads and back: pickle 5, with large buffers out of band in shared memory.

Owns the layout of payloads. Never keeps objects. Small results are plain pickles inside messages; anything
over `INLINE_LIMIT` is one segment whose buffers are used in place, read-only, by whoever loads it.
Read next: `namespaces.py` (how a cell's functions find their names again).
"""

import hashlib
import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

import cloudpickle

from cellmesh.scheduler.wire.messages import INLINE_LIMIT, Payload, Ref

from . import classes, segments

_MAGIC = b"CM1\0"
_ALIGN = 64

Persist = Callable[[Any], Payload | None]
"""Given an object, the payload that already holds its value (a Future's), or None to pickle it."""


class CannotPickleError(TypeError):
    """An object cannot be pickled; the message names it, where it hangs, and what to do."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle, with Futures replaced by the payload that holds their result."""

    def __init__(self, file: io.BytesIO, persist: Persist | None, **kwargs: Any) -> None:
        super().__init__(file, protocol=5, **kwargs)
        self._persist = persist

    def persistent_id(self, obj: Any) -> Any:
        if self._persist is None:
            return None
        payload = self._persist(obj)
        if payload is None:
            return None
        return (payload.name, payload.size) if isinstance(payload, Ref) else payload

    def reducer_override(self, obj: Any) -> Any:
        """Refuse open files: cloudpickle would send a copy of what is left to read, one for each worker."""
        if isinstance(obj, type):
            classes.going_out(obj)
        elif isinstance(obj, io.TextIOWrapper | io.BufferedReader | io.BufferedRandom | io.FileIO):
            raise CannotPickleError(
                f"An open file ({getattr(obj, 'name', '?')!r}) cannot be sent to workers. "
                "Send its path, and open it in the function."
            )
        return super().reducer_override(obj)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return classes.find(module, name) or super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return loads(Ref(*pid) if isinstance(pid, tuple) else pid)


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
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler(file, persist, buffer_callback=buffers.append).dump(obj)
    views = [buffer.raw() for buffer in buffers]
    size = file.tell() + sum(view.nbytes for view in views)
    if size <= limit or not prefix:
        if views:  # small buffers travel in the pickle, and so come back writable
            file = io.BytesIO()
            pickler(file, persist).dump(obj)
        return file.getvalue()
    name = segments.new_name(prefix)
    return Ref(name, segments.write(name, _layout(file.getbuffer(), views)))


def _layout(pickled: memoryview, views: list[memoryview]) -> list[bytes | memoryview]:
    lengths = [len(pickled), *(view.nbytes for view in views)]
    header = _MAGIC + struct.pack(f"<I{len(lengths)}Q", len(lengths), *lengths)
    parts: list[bytes | memoryview] = []
    whole: list[bytes | memoryview] = [header, pickled, *views]
    for part in whole:
        parts.append(part)
        length = part.nbytes if isinstance(part, memoryview) else len(part)
        parts.append(b"\0" * (-length % _ALIGN))
    return parts


def _parts(view: memoryview) -> list[memoryview]:
    (count,) = struct.unpack_from("<I", view, len(_MAGIC))
    lengths = struct.unpack_from(f"<{count}Q", view, len(_MAGIC) + 4)
    offset = len(_MAGIC) + 4 + 8 * count
    found = []
    for length in lengths:  # every part begins on a cache line
        offset += -offset % _ALIGN
        found.append(view[offset : offset + length])
        offset += length
    return found


def loads(payload: Payload) -> Any:
    """The object back; buffers of a segment are used in place and are read-only."""
    if isinstance(payload, bytes):
        return _Unpickler(io.BytesIO(payload)).load()
    pickled, *buffers = _parts(segments.view(payload.name))
    return _Unpickler(io.BytesIO(pickled), buffers=buffers).load()


def size_of(payload: Payload) -> int:
    """How many bytes a payload stands for."""
    return payload.size if isinstance(payload, Ref) else len(payload)


def digest(payload: Payload) -> str:
    """A name for the content; equal content, equal name."""
    content = segments.view(payload.name) if isinstance(payload, Ref) else payload
    return hashlib.blake2b(content, digest_size=16).hexdigest()
