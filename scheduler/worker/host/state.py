"""The state of a living object as bytes in a file, and an object of that state again.

Owns what is part of the state: what `__checkpoint__` answers, or else what pickle would take of the object,
without its class. Tensors are moved off the GPU, and back onto the one that they were on. Never decides
when. Read next: `checkpoints.py`.
"""

from __future__ import annotations

import copyreg
import io
import sys
from typing import IO, Any

from cellmesh.scheduler.objects import codec

LIMIT = 1 << 30
"""Bytes that a checkpoint in the background may have."""


_IN_PYTHON = 1 << 9  # flag of classes that are not C's
_DEEPEST = 5  # levels that are looked into for what cannot be pickled


class TooLargeError(ValueError):
    """The state is larger than a checkpoint in the background may be."""


class StateError(TypeError):
    """Something of the state cannot be pickled; the message says what."""


def write(thing: Any, file: IO[bytes], limit: int | None) -> None:
    """Write the object's state; raises StateError, TooLargeError, or what `__checkpoint__` raises.

    First how it is made, if it is not as usual, then what it holds: that may refer to the object.
    """
    out = _Counted(file, limit)
    own = getattr(thing, "__checkpoint__", None)
    if own is not None:
        make, state, path = None, (True, own()), "what __checkpoint__ returned"
        told = state[1]
    else:
        make, held = _reduced(thing)
        state, path, told = (False, held), "self", thing
    try:
        _Pickler(out, thing).dump(make)
        _Pickler(out, thing).dump(state)
    except (TooLargeError, OSError):
        raise
    except Exception as error:
        path, value, why = _culprit(thing, path, told)
        kind = type(value).__qualname__
        raise StateError(f"{path}, a {kind}, cannot be pickled ({why or error})") from error


def _reduced(thing: Any) -> tuple[Any, Any]:
    """As pickle has it: what makes such an object, and of what (None: the class alone); and what it holds."""
    kind = type(thing)
    reduced = thing.__reduce_ex__(2)
    if isinstance(reduced, str) or len(reduced) > 5:
        raise StateError(
            f"a {kind.__qualname__} pickles itself in a way (__reduce__) that leaves no state to keep"
        )
    function, args = reduced[:2]
    held, items, pairs = (*reduced[2:], None, None, None)[:3]
    whole = held, list(items or ()), list(pairs or ())
    own = next(each for each in kind.__mro__ if "__reduce__" in vars(each) or "__reduce_ex__" in vars(each))
    if function is kind and not own.__flags__ & _IN_PYTHON:  # a container's way: it means its own __init__
        return (_contained, (own, kind, args)), whole
    if function is not copyreg.__newobj__ or len(args) != 1:  # type: ignore[attr-defined]  # it is there
        return (function, args), whole
    make: Any = kind.__new__
    if make is not object.__new__:
        try:
            make(kind)
        except Exception as error:
            raise StateError(
                f"a {kind.__qualname__} cannot be made without arguments ({error}); __getnewargs__ gives them"
            ) from error
    return None, whole


def read(file: IO[bytes], kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An object of this class in the state that was written.

    With `__restore__` it is made anew, by the arguments of its start, and then given what `__checkpoint__`
    had answered; else its `__init__` does not run.
    """
    own = getattr(kind, "__restore__", None)
    how = _Unpickler(file, kind, None).load()
    make: Any = kind.__new__
    thing = kind(*args, **kwargs) if own is not None else make(kind) if how is None else how[0](*how[1])
    by_itself, state = _Unpickler(file, kind, thing).load()
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
        if obj is type(self._thing):
            return _kind, ()  # it may be another one by then
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
    def __init__(self, file: IO[bytes], kind: type, thing: Any) -> None:
        super().__init__(file)
        self._stand_ins = {"_itself": lambda: thing, "_kind": lambda: kind}

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in self._stand_ins:
            return self._stand_ins[name]
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


def _contained(own: Any, kind: type, args: tuple[Any, ...]) -> Any:
    """A subclass of a container, as the container makes it."""
    made = own.__new__(kind, *args)
    own.__init__(made, *args)
    return made


def _kind() -> Any:
    raise AssertionError("stands for the object's class")


def _typed(kind: Any, storage: Any, dtype: Any) -> Any:
    return kind(wrap_storage=storage, dtype=dtype, _internal=True)


def _onto(storage: Any, device: str) -> Any:
    return storage.to(device=device)
