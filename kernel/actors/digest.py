"""What a class and its arguments are, in a digest that is the same in the next kernel.

Owns the question whether a named `start()` asks for the actor that lives. A pickle would not do: it holds the
lines where functions stand and names made at random. What runs counts: code, constants, defaults, and what of
the notebook all that refers to. Never keeps anything. Read next: `starting.py`.
"""

import hashlib
import io
import types
from typing import Any

from cellmesh.kernel.lookups import names
from cellmesh.scheduler.objects import codec

from .classes import MARK, VERBS

_IGNORED = {*VERBS, MARK, "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"}


def same(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    """Equal for equal class, arguments and options, also in another kernel; parts for each of the three."""
    asked = {name: value for name, value in options.items() if name != "name"}
    return f"{_of(kind)}-{_of(args, sorted(kwargs.items()))}-{_of(sorted(asked.items()))}"


def with_class(before: str, kind: type) -> str:
    """The digest of what was started with the same arguments and options, of this class."""
    return f"{_of(kind)}-{before.partition('-')[2]}"


def _of(*values: Any) -> str:
    told = _Digest()
    told.add(*values)
    return told.hexdigest()


class _Digest:
    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._known: dict[int, Any] = {}  # classes and functions that are in it; by id, and kept alive

    def add(self, *values: Any) -> None:
        """These belong to it, too."""
        for value in values:
            file = io.BytesIO()
            buffers: list[Any] = []
            pickler = _Stable(self, file, protocol=5, buffer_callback=buffers.append)
            pickler.dump(value)
            self._hash.update(file.getvalue())
            for buffer in buffers:
                self._hash.update(buffer.raw())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def told(self, value: Any) -> str:
        """What stands for a class or function in a pickle; its content is added at its first appearance."""
        if id(value) not in self._known:
            self._known[id(value)] = value
            if isinstance(value, type):
                self._add_class(value)
            else:
                self._add_function(value)
        return f"{value.__qualname__} {list(self._known).index(id(value))}"

    def _add_class(self, kind: type) -> None:
        self.add([base for base in kind.__bases__ if base is not object])
        for name, value in sorted(kind.__dict__.items()):
            if name not in _IGNORED:
                self.add(name, _plain(value))

    def _add_function(self, function: types.FunctionType) -> None:
        self._add_code(function.__code__)
        self.add(function.__defaults__, function.__kwdefaults__, function.__dict__)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:
                pass  # not filled yet
        if function.__module__ == "__main__":
            known = function.__globals__
            for name in sorted(set(names(function.__code__))):
                if name in known:
                    self._add_global(name, known[name])

    def _add_global(self, name: str, value: Any) -> None:
        """What the code uses of the notebook. A handle, a lock: it is what it is, whatever is in it."""
        try:
            self.add(name, value)
        except Exception:  # noqa: BLE001 - pickling runs anybody's code; the class itself is pickled elsewhere
            self.add(name, type(value).__qualname__)

    def _add_code(self, code: types.CodeType) -> None:
        self.add(code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            else:
                self.add(repr(constant))


class _Stable(codec.Pickler):
    """A pickle in which classes and functions of the notebook are what they do."""

    def __init__(self, digest: _Digest, file: io.BytesIO, **more: Any) -> None:
        super().__init__(file, **more)
        self._digest = digest

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | types.FunctionType) and (obj.__module__ == "__main__" or MARK in vars(obj)):
            return str, (self._digest.told(obj),)
        if type(obj).__module__.startswith("cellmesh."):
            return str, (type(obj).__qualname__,)  # a handle, a Future: another one in each kernel
        if isinstance(obj, types.FunctionType) and "<locals>" in obj.__qualname__:
            return str, (self._digest.told(obj),)
        return super().reducer_override(obj)


def _plain(value: Any) -> Any:
    """What a descriptor is made of: itself it cannot be pickled."""
    if isinstance(value, staticmethod | classmethod):
        return type(value).__name__, value.__func__
    if isinstance(value, property):
        return "property", value.fget, value.fset, value.fdel
    if isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
        return value.__name__
    return value
