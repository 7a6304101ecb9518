"""The state of a living object as bytes in a file, and an object of that state again.

Owns what is part of the state: what `__checkpoint__` answers, or else what pickle would take of the object,
without its class. Tensors are moved off the GPU, and back onto the one that they were on. Never decides
when. Read next: `checkpoints.py`.
"""

from __future__ import annotations

import io
import sys
from typing import IO, Any

from cellmesh.scheduler.objects import codec, torch_cuda

LIMIT = 1 << 30
"""Bytes that a checkpoint in the background may have."""


_DEEPEST = 5  # levels that are looked into for what cannot be pickled


class TooLargeError(ValueError):
    """The state is larger than a checkpoint in the background may be."""


class StateError(TypeError):
    """Something of the state cannot be pickled; the message says what."""


def write(thing: Any, file: IO[bytes], limit: int | None) -> None:
    """Write the object's state; raises StateError, TooLargeError, or what `__checkpoint__` raises."""
    own = getattr(thing, "__checkpoint__", None)
    if own is not None:
        state: tuple[bool, Any] = (True, own())
    else:
        reduced: tuple[Any, ...] = thing.__reduce_ex__(2)
        held, items, pairs = (*reduced[2:5], None, None, None)[:3]
        state = (False, (held, list(items or ()), list(pairs or ())))
    torch_cuda.settle()  # a step that a GPU has not ended would be written down in the middle
    try:
        _Pickler(_Counted(file, limit), thing).dump(state)
    except (TooLargeError, OSError):
        raise
    except Exception as error:
        path, value = ("what __checkpoint__ returned", state[1]) if own is not None else ("self", thing)
        path, value, why = _culprit(thing, path, value)
        kind = type(value).__qualname__
        raise StateError(f"{path}, a {kind}, cannot be pickled ({why or error})") from error


def read(file: IO[bytes], kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An object of this class in the state that was written.

    With `__restore__` it is made anew, by the arguments of its start, and then given what `__checkpoint__`
    had answered; else its `__init__` does not run.
    """
    own = getattr(kind, "__restore__", None)
    make: Any = kind.__new__
    thing = kind(*args, **kwargs) if own is not None else make(kind)
    by_itself, state = _Unpickler(file, thing).load()
    if by_itself:
        if own is None:
            raise TypeError(f"{kind.__qualname__} has __checkpoint__, but no __restore__(state) to undo it.")
        thing.__restore__(state)
        return thing
    held, items, pairs = state
    if held is not None:
        _set(thing, held)
    if items:
        thing.extend(items)
    for key, value in pairs:
        thing[key] = value
    return thing


def _set(thing: Any, state: Any) -> None:
    """As pickle does."""
    own = getattr(thing, "__setstate__", None)
    if own is not None:
        own(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes:
        thing.__dict__.update(attributes)
    for name, value in (slots or {}).items():
        setattr(thing, name, value)


def _culprit(thing: Any, path: str, value: Any, why: object = None) -> tuple[str, Any, object]:
    """Where in this value the trouble is: as deep as it can be told."""
    for name, part in _parts(value) if path.count(".") + path.count("[") < _DEEPEST else ():
        try:
            _Pickler(_Nowhere(), thing).dump(part)
        except Exception as error:  # noqa: BLE001 - whatever it raises, this is it
            return _culprit(thing, path + name, part, error)
    return path, value, why


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{place}]", part) for place, part in enumerate(value)]
    return [(f".{name}", part) for name, part in getattr(value, "__dict__", {}).items()]


class _Pickler(codec.Pickler):
    def __init__(self, file: Any, thing: Any) -> None:
        super().__init__(file, protocol=5)
        self._thing = thing
        self._moved: dict[int, Any] = {}  # storages, by where they are: each is moved once

    def reducer_override(self, obj: Any) -> Any:
        if obj is self._thing:
            return _itself, ()
        torch = sys.modules.get("torch")
        if torch is not None:
            kind = type(obj)
            if kind is torch.Tensor:
                return NotImplemented  # as torch does it: what shares its memory with others goes on doing so
            if kind is torch.storage.TypedStorage and obj._untyped_storage.device.type != "cpu":
                storage = obj._untyped_storage
                storage = self._moved.setdefault(storage._cdata, storage)
                return _typed, (kind, storage, obj.dtype)
            if kind is torch.UntypedStorage and obj.device.type != "cpu":
                return _onto, (obj.cpu(), str(obj.device))
        return super().reducer_override(obj)


class _Unpickler(codec.Unpickler):
    def __init__(self, file: IO[bytes], thing: Any) -> None:
        super().__init__(file)
        self._thing = thing

    def find_class(self, module: str, name: str) -> Any:
        if name == "_itself" and module == __name__:
            return lambda: self._thing
        return super().find_class(module, name)


class _Nowhere(io.RawIOBase):
    """Takes everything."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


class _Counted(io.RawIOBase):
    """Stops what grows too large."""

    def __init__(self, file: IO[bytes], limit: int | None) -> None:
        self._file = file
        self._left = limit

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise TooLargeError
        self._file.write(data)
        return size


def _itself() -> Any:
    raise AssertionError("stands for the object itself")


def _typed(kind: Any, storage: Any, dtype: Any) -> Any:
    return kind(wrap_storage=storage, dtype=dtype, _internal=True)


def _onto(storage: Any, device: str) -> Any:
    return storage.to(device=device)
