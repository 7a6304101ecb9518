"""A call that is not answered yet.

Owns its record. Read next: `caller.py`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cellmesh.kernel.packing import Packed
from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.wire.messages import Payload, Ref

if TYPE_CHECKING:
    from .directory import Life

Kind = Literal["call", "stream", "cell", "reload", "save"]


@dataclass(slots=True, eq=False)
class Pending:
    """A call that is not answered."""

    number: int
    method: str
    kind: Kind
    packed: Packed
    taker: Any
    room: int = 0
    life: "Life | None" = None  # the actor lives at least until the answer
    payload: Payload = b""
    ready: bool = False

    @property
    def flows(self) -> bool:
        """Whether it is a stream, and items of it have come: no item comes twice."""
        return self.kind == "stream" and bool(self.taker.begun)

    def free(self) -> None:
        """Its arguments have been read, or never will be."""
        if isinstance(self.payload, Ref):
            makers.freed([self.payload.name])
        self.payload = b""
