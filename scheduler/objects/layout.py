"""How a segment is laid out: a header, the pickle, then its buffers, each on a cache line.

Owns that layout. Never touches files. A buffer may be marked private: who loads it may write to it, and
writes to pages of its own. Read next: `codec.py`.
"""

import struct
from collections.abc import Collection, Sequence

_MAGIC = b"CM2\0"
_ALIGN = 64
_PRIVATE = 1 << 63  # in a length

_PADDING = [b"\0" * length for length in range(_ALIGN)]


def parts(
    pickled: bytes | memoryview, buffers: Sequence[memoryview] = (), private: Collection[int] = ()
) -> list[bytes | memoryview]:
    """What to write, in order. `private`: positions of the buffers whose readers may write to them."""
    lengths = [len(pickled), *(buffer.nbytes for buffer in buffers)]
    marked = [length | _PRIVATE if i - 1 in private else length for i, length in enumerate(lengths)]
    header = _MAGIC + struct.pack(f"<I{len(lengths)}Q", len(lengths), *marked)
    made: list[bytes | memoryview] = [header, _PADDING[-len(header) % _ALIGN]]
    for part, length in zip([pickled, *buffers], lengths, strict=True):
        made.append(part)
        made.append(_PADDING[-length % _ALIGN])
    return made


def buffers_of(view: memoryview) -> list[memoryview]:
    """The pickle and its buffers, as they lie in a segment: read-only, but for private ones."""
    (count,) = struct.unpack_from("<I", view, len(_MAGIC))
    lengths = struct.unpack_from(f"<{count}Q", view, len(_MAGIC) + 4)
    offset = len(_MAGIC) + 4 + 8 * count
    found = []
    for marked in lengths:
        length = marked & ~_PRIVATE
        offset += -offset % _ALIGN
        part = view[offset : offset + length]
        found.append(part if marked & _PRIVATE else part.toreadonly())
        offset += length
    return found
