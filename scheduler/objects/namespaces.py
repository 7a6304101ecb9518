"""Values of a notebook's namespace on their way into a worker's namespace, and back.

Owns one thing that cloudpickle does not do: a function defined in the notebook arrives as a function of
the *worker's* namespace, so that a distributed cell may redefine or assign what it refers to. Names it
refers to are captured separately (`cellmesh/kernel/capture.py`). Never decides what is captured.
Read next: `codec.py`.
"""

import io
import types
from functools import partial
from typing import Any

from cellmesh.scheduler.wire.messages import Payload

from . import codec

_target: dict[str, Any] = {}


def dumps(
    value: Any, namespace: dict[str, Any], prefix: str = "", *, persist: codec.Persist | None = None
) -> Payload:
    """Pickle `value` so that functions of `namespace` are rebound to the namespace it is loaded into."""

    make = partial(_NamespacePickler, namespace=namespace)
    return codec.dumps(value, prefix, persist=persist, pickler=make)


def loads(payload: Payload, namespace: dict[str, Any]) -> Any:
    """The value back, its functions bound to `namespace`."""
    global _target
    before, _target = _target, namespace
    try:
        return codec.loads(payload)
    finally:
        _target = before


class _NamespacePickler(codec.Pickler):
    def __init__(self, file: io.BytesIO, *, namespace: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(file, **kwargs)
        self._namespace = namespace

    def reduce(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType) and obj.__globals__ is self._namespace:
            cells = len(obj.__closure__ or ())
            return (_bare, (obj.__code__, cells), _state(obj), None, None, _restore)
        return super().reduce(obj)


def _state(function: types.FunctionType) -> dict[str, Any]:
    return {
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "annotations": function.__annotations__,
        "name": function.__name__,
        "qualname": function.__qualname__,
        "doc": function.__doc__,
        "dict": function.__dict__,
        "closure": [_contents(cell) for cell in function.__closure__ or ()],
    }


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()  # a cell that has not been filled yet


def _bare(code: types.CodeType, cells: int) -> types.FunctionType:
    return types.FunctionType(code, _target, closure=tuple(types.CellType() for _ in range(cells)))


def _restore(function: types.FunctionType, state: dict[str, Any]) -> None:
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["kwdefaults"]
    function.__annotations__ = state["annotations"]
    function.__name__ = state["name"]
    function.__qualname__ = state["qualname"]
    function.__module__ = "__main__"
    function.__doc__ = state["doc"]
    function.__dict__.update(state["dict"])
    for cell, contents in zip(function.__closure__ or (), state["closure"], strict=True):
        if contents:
            cell.cell_contents = contents[0]
