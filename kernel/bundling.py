"""A call of `cm.submit`, and the bundle in which it travels to a worker: one task of one call or of many.

Owns what they are, and what a bundle is pickled into. Never decides which calls travel together, nor when.
Read next: `backlog.py`, `chunking.py`.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from cellmesh.scheduler.objects import packets
from cellmesh.scheduler.objects.packets import Packet
from cellmesh.scheduler.wire.messages import Payload, Ref, TaskWire

from .chunking import Planner
from .futures import Future


@dataclass(slots=True, eq=False, weakref_slot=True)
class Kind:
    """Calls that may travel together: of one function, with the same options.

    When the last of them, and the function itself, are gone, the engine may forget the function.
    """

    fields: dict[str, Any]  # of a `TaskWire`
    planner: Planner
    bundles: bool  # whether they may
    blob: object  # the function's, shared by its kinds


@dataclass(slots=True, eq=False)
class Call:
    """One call: its Future, and its pickled or plain (args, kwargs)."""

    future: Future
    kind: Kind
    arguments: Payload | Packet | tuple[Any, ...]
    holds: Sequence[Any] = ()
    alone: bool = False  # was in a bundle that met a death or a cancel
    seeds: list[int] | None = None

    @property
    def bundles(self) -> bool:
        """Whether it may travel with others."""
        return self.kind.bundles and not self.alone and not isinstance(self.arguments, Ref)


@dataclass(slots=True)
class Bundle:
    """Calls that have left as one task."""

    calls: list[Call]  # none any more once it is over: Futures refer to this, and must not keep each other
    size: int
    _taken: "count[int]" = field(default_factory=partial(count, 1))  # results that somebody has

    def taken(self) -> bool:
        """One more result is with the user; whether that was the last."""
        return next(self._taken) == self.size  # no lock: a finalizer may ask at any moment

    def task(self, index: int, prefix: str) -> TaskWire:
        """What travels; `prefix` is of the segments that may be made for it."""
        first = self.calls[0]
        if len(self.calls) > 1:
            payload = packets.join([call.arguments for call in self.calls], prefix)
            return TaskWire(index, "calls", payload, size=self.size, **first.kind.fields)
        return TaskWire(
            index, "call", _alone(first.arguments, prefix), seeds=first.seeds, **first.kind.fields
        )


def _alone(arguments: Payload | Packet | tuple[Any, ...], prefix: str) -> Payload:
    if isinstance(arguments, Packet):
        return packets.write(arguments, prefix)
    return pickle.dumps(arguments, protocol=5) if isinstance(arguments, tuple) else arguments
