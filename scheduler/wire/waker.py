"""Wakes a thread that sleeps in poll().

Owns one descriptor that becomes readable. Never carries data: whoever wakes up looks at a queue.
Read next: `dealer.py`.
"""

import os


class Waker:
    """`wake()` from any thread or signal handler; the sleeper polls `fd` and calls `clear()`."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.fd = self._write = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.fd, self._write = os.pipe()
            os.set_blocking(self.fd, False)
            os.set_blocking(self._write, False)

    def wake(self) -> None:
        """Make the descriptor readable; nothing once it is closed."""
        if self._write < 0:
            return
        try:
            os.write(self._write, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            pass  # it is readable already
        except OSError:
            if self._write >= 0:
                raise  # else it was closed just now

    def clear(self) -> None:
        """Take the wake-ups that have come."""
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass  # another call took them

    def close(self) -> None:
        """Free the descriptors."""
        write, self._write = self._write, -1  # its number may be another file's any moment
        os.close(self.fd)
        if write != self.fd:
            os.close(write)
