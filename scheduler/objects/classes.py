"""Classes that were made in this process stay as they are when an instance of them comes back.

Owns the memory of which classes these are. cloudpickle sends a notebook's class by value, and on its way back
would set every attribute of the original again: its methods would no longer see the notebook's names.
Never keeps a class alive. Read next: `codec.py`.
"""

from typing import Any
from weakref import WeakSet

from cloudpickle import cloudpickle

_made_here: WeakSet[type] = WeakSet()
_received: WeakSet[type] = WeakSet()


def going_out(kind: type) -> None:
    """A class is being pickled."""
    if kind not in _received:
        _made_here.add(kind)


def set_state(kind: type, state: Any) -> type:
    """In the place of cloudpickle's `_class_setstate`."""
    if kind in _made_here:
        return kind
    _received.add(kind)
    return cloudpickle._class_setstate(kind, state)  # type: ignore[no-any-return]


def find(module: str, name: str) -> Any:
    """The stand-in for a global that a pickle refers to, if it has one."""
    if name == "_class_setstate" and module == "cloudpickle.cloudpickle":
        return set_state
    return None


def received() -> set[type]:
    """Classes that came by value, and live."""
    return set(_received)
