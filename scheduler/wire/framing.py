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
        self._read = bytearray()
        self._lock = threading.Lock()  # several threads post, and send
        self._posted: list[Any] = []
        self._unsent = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def full(self) -> bool:
        """Whether the socket has not taken all: `send` again when it can be written to."""
        return bool(self._unsent)

    @property
    def waits(self) -> bool:
        """Whether something was posted that has not been sent."""
        return bool(self._posted)

    def receive(self) -> list[Any]:
        """All messages that are here; raises EOFError when the other end is gone.

        Malformed frames raise msgspec.DecodeError: whoever sent them speaks something else.
        """
        try:
            data = self._socket.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        if not self._read and len(data) == 4 + int.from_bytes(data[:4], "little"):
            messages: list[Any] = self._decode(memoryview(data)[4:])
            return messages
        self._read += data
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
        """Send what was posted, as far as the socket takes it. Any thread; raises OSError if nobody hears."""
        with self._lock:
            while self._unsent or self._posted:
                if not self._unsent:
                    messages = self._posted[:_AT_ONCE]
                    del self._posted[: len(messages)]
                    data = _encode(messages)
                    self._unsent = _LENGTH.pack(len(data)) + data
                try:
                    sent = self._socket.send(self._unsent)
                except (BlockingIOError, InterruptedError):
                    return
                self._unsent = self._unsent[sent:] if sent < len(self._unsent) else b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
