"""A way to a scheduler that breaks: at the notebook's end first, at the scheduler's when the test says so.

Owns a port, and a pair of sockets for each connection through it. Looks into nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType


class Relay:
    """Connections to `address` go on to another of the form tcp://HOST:PORT."""

    def __init__(self, to: str) -> None:
        host, _, port = to.removeprefix("tcp://").rpartition(":")
        self._to = host, int(port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._all: list[socket.socket] = [self._listening]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in list(self._all):
            _end(each)
        for thread in list(self._threads):
            thread.join()
        for each in self._all:
            each.close()

    def cut(self) -> list[socket.socket]:
        """Whoever is connected loses that; the other ends, which do not notice until `notice`."""
        pairs, self._pairs = self._pairs, []
        for near, _ in pairs:
            _end(near)
        return [far for _, far in pairs]

    def notice(self, lost: list[socket.socket]) -> None:
        """Now these do."""
        for far in lost:
            _end(far)

    def _accept(self) -> None:
        with suppress(OSError):  # it has ended
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._to)
                self._all += [near, far]
                self._pairs.append((near, far))
                self._begin(_pass, near, far)
                self._begin(_back, far, near)

    def _begin(self, what: Callable[..., None], *about: socket.socket) -> None:
        thread = threading.Thread(target=what, args=about)
        self._threads.append(thread)
        thread.start()


def _pass(source: socket.socket, target: socket.socket) -> None:
    """What comes; not that nothing more will."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)


def _back(far: socket.socket, near: socket.socket) -> None:
    """What comes, and its end."""
    _pass(far, near)
    _end(near)


def _end(one: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        one.shutdown(socket.SHUT_RDWR)
