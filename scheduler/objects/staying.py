"""Values that stay where they are: memory of a device, which no pickle should drag through the CPU.

Owns what is asked of such a value, and which kinds there are. A pickler that has a `Bag` leaves them in it
and pickles a name; any other pickles a copy. Never keeps one. Read next: `torch_cuda.py`, `shelf.py`.
"""

from collections.abc import Callable
from typing import Any, Protocol

from . import torch_cuda

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Loan(Protocol):
    """What one other process may open, once. Holds the value until it is given up."""

    opened: Call
    """What the borrower calls to have the value itself."""

    def recall(self) -> None:
        """The borrower has died without ending it."""


class Thing(Protocol):
    """One such value."""

    own: Any  # the value
    place: str  # where it is, in words that mean the same to all processes
    nbytes: int
    way: str  # how people call the way by which it is lent

    def lend(self) -> Loan:
        """For a process that has the place too; RuntimeError if that cannot be."""

    def copy(self) -> Call:
        """What a process elsewhere calls to have its like; the arguments can be pickled."""


class Kind(Protocol):
    """A kind of such values: a module, or an object."""

    def of(self, obj: Any) -> Thing | None:
        """What `obj` is, if it is of this kind."""

    def places(self) -> list[str]:
        """Those that this process has."""


KINDS: list[Kind] = [torch_cuda]


def of(obj: Any) -> Thing | None:
    """What `obj` is, if it stays where it is."""
    for kind in KINDS:
        thing = kind.of(obj)
        if thing is not None:
            return thing
    return None


def places() -> list[str]:
    """Where this process can have such values."""
    return [place for kind in KINDS for place in kind.places()]


class Bag(Protocol):
    """Takes what stays out of one pickle."""

    def begin(self) -> None:
        """It is pickled (again)."""

    def reduce(self, thing: Thing) -> Call:
        """What the pickle says in its place."""
