"""What a class and its arguments are, in a digest that is the same in the next kernel.

Owns the question whether a named `start()` asks for the actor that lives. A pickle would not do: it holds the
lines where functions stand, names made at random, and sets in an order that each process has for itself. What
runs counts: code, constants, defaults, and what of the notebook all that refers to. Never keeps anything, and
never fails: what cannot be looked into is what its type is. Read next: `starting.py`.
"""

import hashlib
import io
import pickle
import types
from typing import Any

from cellmesh.kernel.lookups import names
from cellmesh.scheduler.objects import codec

from .classes import MARK, VERBS

_IGNORED = {*VERBS, MARK, "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "_abc_impl"}
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
_PARTS = ("fget", "fset", "fdel", "func", "__func__", "__wrapped__", "dispatcher")
"""Where descriptors keep the functions that they are made of: themselves they cannot be pickled."""


def same(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    """Equal for equal class, arguments and options, also in another kernel; parts for each of the three."""
    asked = {name: value for name, value in options.items() if name != "name"}
    return f"{_of(kind)}-{_of((args, sorted(kwargs.items())))}-{_of(sorted(asked.items()))}"


def with_class(before: str, kind: type) -> str:
    """The digest of what was started with the same arguments and options, of this class."""
    return f"{_of(kind)}-{before.partition('-')[2]}"


def _of(value: Any) -> str:
    return _Digest({}).of(value)


class _Digest:
    """Of one value. `known`: what is in it already, by id, and kept alive."""

    def __init__(self, known: dict[int, tuple[int, Any]]) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._known = known

    def of(self, value: Any) -> str:
        """Of this value alone."""
        self._add(value)
        return self._hash.hexdigest()

    def _put(self, *words: object) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode(errors="surrogatepass")
            self._hash.update(b"%d " % len(data))
            self._hash.update(data)

    def _add(self, value: Any) -> None:
        kind = type(value)
        if kind in _PLAIN:
            self._put(kind.__name__, value if kind is bytes else repr(value))
        elif kind is tuple:
            self._each("tuple", value)
        elif kind is set or kind is frozenset:
            self._put(kind.__name__, *sorted(_Digest(dict(self._known)).of(item) for item in value))
        elif id(value) in self._known:
            self._put("again", self._known[id(value)][0])
        else:
            self._known[id(value)] = len(self._known), value
            self._add_once(kind, value)

    def _each(self, what: str, values: Any) -> None:
        self._put(what, len(values))
        for value in values:
            self._add(value)

    def _add_once(self, kind: type, value: Any) -> None:
        if kind is list:
            self._each("list", value)
        elif kind is dict:
            self._each("dict", [part for pair in value.items() for part in pair])
        elif isinstance(value, type):
            self._add_class(value)
        elif kind is types.FunctionType:
            self._add_function(value)
        elif kind is types.CodeType:
            self._add_code(value)
        elif kind is types.ModuleType:
            self._put("module", value.__name__)
        elif kind.__module__.startswith("cellmesh."):
            self._put(kind.__qualname__)  # a handle, a Future: another one in each kernel
        elif kind.__module__.partition(".")[0] == "torch":
            self._add_pickled(value)  # its tensors know how to be read without a copy
        else:
            self._add_object(kind, value)

    def _add_class(self, kind: type) -> None:
        self._put("class", kind.__module__, kind.__qualname__)
        if not _is_the_notebooks(kind):
            return
        self._each("bases", [base for base in kind.__bases__ if base is not object])
        for name, value in sorted(kind.__dict__.items()):
            if name not in _IGNORED:
                self._put(name)
                self._add(value)

    def _add_function(self, function: types.FunctionType) -> None:
        self._put("function", function.__module__, function.__qualname__)
        if not _is_the_notebooks(function) and "<locals>" not in function.__qualname__:
            return
        self._add_code(function.__code__)
        self._each("given", (function.__defaults__, function.__kwdefaults__, function.__dict__))
        for cell in function.__closure__ or ():
            try:
                self._add(cell.cell_contents)
            except ValueError:
                self._put("a cell that is not filled yet")
        if function.__module__ == "__main__":
            for name in sorted(set(names(function.__code__)) & function.__globals__.keys()):
                self._put(name)
                self._add(function.__globals__[name])

    def _add_code(self, code: types.CodeType) -> None:
        self._put(code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._each("constants", code.co_consts)

    def _add_object(self, kind: type, value: Any) -> None:
        """By what pickle would take of it, or by the functions that it is made of."""
        if kind is pickle.PickleBuffer:
            self._put("buffer", bytes(value.raw()))
            return
        self._put("object", kind.__module__, kind.__qualname__)
        try:
            reduced = value.__reduce_ex__(5)
        except Exception:  # noqa: BLE001 - it runs anybody's code; what cannot travel fails elsewhere, in words
            self._each("parts", [getattr(value, name, None) for name in _PARTS])
            return
        if isinstance(reduced, str):
            self._put(reduced)
        else:
            how, args, state, items, pairs = (*reduced, None, None, None)[:5]
            self._each("made", (how, args, state, list(items or ()), list(pairs or ())))

    def _add_pickled(self, value: Any) -> None:
        file = io.BytesIO()
        buffers: list[Any] = []
        try:
            codec.Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
        except Exception:  # noqa: BLE001 - as above
            self._put("object", type(value).__qualname__)
            return
        self._put("pickled", file.getvalue(), *(bytes(buffer.raw()) for buffer in buffers))


def _is_the_notebooks(value: Any) -> bool:
    """Whether it is looked into; what is imported is what it is called."""
    return value.__module__ == "__main__" or MARK in vars(value)
