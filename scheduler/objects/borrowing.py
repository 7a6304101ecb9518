"""What a pickle left with the process that made it: got from there as the pickle is loaded.

Owns the reader's side: it asks over the owner's socket, and has the value itself if both have the place
where it is (a GPU), else a copy. The connection stays open for as long as what was borrowed is used: if
either process dies the other hears of it. Never counts references. Read next: `shelf.py`, `staying.py`,
`../worker/host/borrowers.py`.
"""

import os
import resource
import select
import socket
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.framing import Framed

from . import codec, staying
from .segments import ObjectGoneError

own: dict[str, Callable[[int], Sequence[staying.Thing] | None]] = {}
"""What this process has left out of pickles itself, by its address."""

refused = ""
"""Why this process must not use what lies elsewhere; empty: it may."""

_open: set["_Borrowed"] = set()


class LostError(ObjectGoneError):
    """What a result or an argument refers to is gone with the process that held it."""


class Away:
    """What one pickle left with its maker. `owner` is for people."""

    def __init__(self, address: str, key: int, owner: str) -> None:
        self._address = address
        self._key = key
        self._owner = owner
        self._values: list[Any] | None = None

    def __reduce__(self) -> Any:
        return Away, (self._address, self._key, self._owner)

    def value(self, index: int) -> Any:
        """One of them; the first time all are brought here."""
        if self._values is None:
            if refused:
                raise LostError(refused)
            here = own.get(self._address)
            if here is not None:
                things = here(self._key)
                if things is None:
                    raise self._gone()
                self._values = [thing.own for thing in things]
            else:
                self._values = self._brought(staying.places() if len(_open) < _most_open() else [])
        return self._values[index]

    def _brought(self, places: list[str]) -> list[Any]:
        borrowed = _Borrowed(self._connected())
        kept = False
        try:
            lent = borrowed.ask(direct.Fetch(direct.DIRECT, self._key, places))
            if lent is None or lent.gone:
                raise self._gone()
            if lent.why:
                raise RuntimeError(f"{self._owner} could not pass on what it holds: {lent.why}")
            calls = codec.loads(lent.payload)
            if not lent.shared:
                return [function(*arguments) for function, arguments in calls]
            values = borrowed.opened(calls)
            kept = values is not None
        finally:
            if not kept:
                borrowed.close()
        return self._brought([]) if values is None else values

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self._address)
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            raise self._gone() from None
        except BaseException:
            sock.close()
            raise
        return sock

    def _gone(self) -> LostError:
        return LostError(
            f"The data is gone: it was in the GPU memory of {self._owner}, which has ended, or was told "
            "that nobody needs it. Keep the Future for as long as something uses it, or take its "
            ".result() (a copy in CPU memory) while the actor lives; else call the method again."
        )


def taken(away: Away, index: int) -> Any:
    """What a pickle says where such a value was."""
    return away.value(index)


class _Borrowed:
    """One connection, and what was opened over it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._framed = Framed(sock, direct.Lent)
        self._process = os.getpid()
        self._left: set[int] = set()

    def ask(self, fetch: direct.Fetch) -> direct.Lent | None:
        """The answer; None if the owner is gone."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        try:
            self._framed.post(fetch)
            self._framed.send()
            while True:
                poll.poll()
                for lent in self._framed.receive():
                    return lent  # type: ignore[no-any-return]
        except (EOFError, OSError):
            return None

    def opened(self, calls: Sequence[staying.Call]) -> list[Any] | None:
        """The values; the owner is told of each that is not used any more. None if they cannot be opened."""
        values: list[Any] = []
        value = None
        try:
            for index, (function, arguments) in enumerate(calls):
                value = function(*arguments)
                self._left.add(index)
                weakref.finalize(value, self._returned, index).atexit = False
                values.append(value)
        except RuntimeError:  # the driver does not allow it to each process
            return None
        finally:
            if len(values) < len(calls):
                value = None
                values.clear()  # now, and not with the traceback: the owner is to know which were opened
        _open.add(self)
        return values

    def _returned(self, index: int) -> None:
        """Runs wherever the value is collected: it waits for no lock."""
        if os.getpid() != self._process:
            return  # a forked child has but a copy of the Python objects
        self._left.discard(index)
        with suppress(OSError):
            self._framed.post(direct.Returned(index))
            self._framed.send()
        if self in _open and not self._left:
            self.close()

    def close(self) -> None:
        """Hang up."""
        _open.discard(self)
        self._socket.close()


def _most_open() -> int:
    """Each holds a descriptor: a quarter of those that the process may have, then copies are taken."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // 4
