"""Objects that travel together: each pickled when it was given, their large buffers in one segment.

Owns `Packet`, a pickle apart from its buffers, and the payload of several. A segment for each of a thousand
arguments of 100 kB would cost more than the arguments themselves. Never decides what travels together.
Read next: `codec.py`, `layout.py`.
"""

import io
import pickle
from collections.abc import Sequence
from typing import Any

from cellmesh.scheduler.wire.messages import INLINE_LIMIT, Payload, Ref

from . import codec, layout, makers, segments

LARGEST = 1 << 20
"""What is larger gets a segment of its own at once: it is copied only there."""


class Packet:
    """A pickled object whose buffers lie elsewhere."""

    __slots__ = ("buffers", "pickled")

    def __init__(self, pickled: bytes, buffers: Sequence[bytes | memoryview]) -> None:
        self.pickled = pickled
        self.buffers = buffers

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.pickled) + sum(len(buffer) for buffer in self.buffers)

    def load(self) -> Any:
        """The object; its buffers are used where they are."""
        return codec.Unpickler(io.BytesIO(self.pickled), buffers=self.buffers).load()


def dumps(obj: Any, prefix: str, *, persist: codec.Persist | None = None) -> Payload | Packet:
    """As `codec.dumps`, but what is neither small nor very large keeps its buffers beside it, copied."""
    if not prefix:
        return codec.dumps(obj, prefix, persist=persist)
    pickled, views, private = codec.apart(obj, persist=persist)
    size = len(pickled) + sum(view.nbytes for view in views)
    if size <= INLINE_LIMIT or size > LARGEST or private:
        return codec.together(obj, prefix, pickled, views, private, persist=persist)
    return Packet(bytes(pickled), [bytes(view) for view in views])


def write(packet: Packet, prefix: str) -> Ref:
    """A segment for this object alone."""
    return makers.write(prefix, layout.parts(packet.pickled, [memoryview(b) for b in packet.buffers]))


def join(entries: Sequence[Any], prefix: str) -> Payload:
    """One payload for all: packets, and whatever else can be pickled as it is."""
    heads = [(len(e.buffers), e.pickled) if type(e) is Packet else e for e in entries]
    packets = [type(e) is Packet for e in entries]
    pickled = pickle.dumps((packets, heads), protocol=5)
    if len(pickled) <= INLINE_LIMIT and True not in packets:
        return pickled
    if not prefix:
        return pickled
    buffers = [memoryview(buffer) for e in entries if type(e) is Packet for buffer in e.buffers]
    return makers.write(prefix, layout.parts(pickled, buffers))


def split(payload: Payload) -> list[Any]:
    """What was joined; packets load when they are asked to."""
    buffers: list[memoryview] = []
    pickled: bytes | memoryview = payload if isinstance(payload, bytes) else b""
    if isinstance(payload, Ref):
        pickled, *buffers = layout.buffers_of(segments.view(payload))
    packets, heads = pickle.loads(pickled)
    entries: list[Any] = []
    taken = 0
    for is_packet, head in zip(packets, heads, strict=True):
        if is_packet:
            count, content = head
            entries.append(Packet(content, buffers[taken : taken + count]))
            taken += count
        else:
            entries.append(head)
    return entries
