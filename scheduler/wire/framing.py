"""Frames on a stream socket that never blocks: whole lists of messages in, what gathers out.

Owns the cutting of the stream and what a full socket has not taken. Never waits: whoever polls does. Both
ends of the direct road are made of it. Read next: `direct.py`.
"""

import functools
import socket
import struct
import threading
from typing import Any

import msgspec

_LENGTH = struct.Struct("<I")
_READ = 64 * 1024
_AT_ONCE = 512
"""Messages in one frame: what is read is decoded as a whole, and nobody waits long for the first of them."""
_LARGE = 1 << 20
"""Bytes of payloads after which a frame ends, for the same reasons."""

_encode = msgspec.msgpack.Encoder().encode


@functools.cache
def decoder(accepts: Any) -> Any:
    """Of frames with these messages; a template makes it for its workers."""
    return msgspec.msgpack.Decoder(list[accepts])


class Framed:
    """One end. `accepts` is the union of messages that may come."""

    def __init__(self, sock: socket.socket, accepts: Any) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._decode = decoder(accepts).decode
        self._read = bytearray()  # the beginning of a frame
        self._came = bytearray(_READ)
        self._view = memoryview(self._came)
        self._lock = threading.Lock()  # several threads post, and send
        self._posted: list[Any] = []
        self._unsent = memoryview(b"")
        self.full = False  # the socket has not taken all: `send` again when it can be written to

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def waits(self) -> int:
        """How many messages were posted and are not being sent."""
        return len(self._posted)

    def receive(self) -> list[Any]:
        """All messages that are here; raises EOFError when the other end is gone.

        Malformed frames raise msgspec.DecodeError: whoever sent them speaks something else.
        """
        try:
            size = self._socket.recv_into(self._came)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise EOFError from error
        if not size:
            raise EOFError
        if not self._read and size == 4 + int.from_bytes(self._came[:4], "little"):
            messages: list[Any] = self._decode(self._view[4:size])
            return messages
        self._read += self._view[:size]
        messages = []
        offset, end = 0, len(self._read)
        with memoryview(self._read) as view:
            while end - offset >= 4:
                (length,) = _LENGTH.unpack_from(view, offset)
                if end - offset - 4 < length:
                    break
                messages += self._decode(view[offset + 4 : offset + 4 + length])
                offset += 4 + length
        del self._read[:offset]
        return messages

    def post(self, message: Any) -> None:
        """Have it sent with the next `send`. Any thread."""
        self._posted.append(message)

    def send(self) -> None:
        """Send what was posted, as far as the socket takes it. Any thread; raises OSError if nobody hears.

        Who finds another thread at it does not wait for it: that one looks again once it is through.
        """
        while (self._posted or self._unsent) and self._lock.acquire(blocking=False):
            try:
                if not self._sent_all():
                    return
            finally:
                self._lock.release()

    def _next(self) -> int:
        """How many of those that were posted make the next frame."""
        size = 0
        for count, message in enumerate(self._posted[:_AT_ONCE], start=1):
            payload = getattr(message, "payload", None)
            size += len(payload) if type(payload) is bytes else 0
            if size > _LARGE:
                return count
        return _AT_ONCE

    def _sent_all(self) -> bool:
        """Send; False if the socket takes no more."""
        while self._posted or self._unsent:
            if not self._unsent:
                messages = self._posted[: self._next()]
                del self._posted[: len(messages)]
                data = _encode(messages)
                self._unsent = memoryview(_LENGTH.pack(len(data)) + data)
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                self.full = True
                return False
            self._unsent = self._unsent[sent:]
        self.full = False
        return True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
