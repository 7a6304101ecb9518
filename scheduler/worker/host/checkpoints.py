"""When the actor's state is written down, and by whom.

Owns the file `checkpoint` in the actor's home: whole or not at all. In the background it is written after
half a second of quiet, or some seconds without, by a forked child where that is safe, and so rarely that it
takes a twentieth of the time. What cannot be written turns it off, with one line that says why. Never knows
what a state is. Read next: `state.py`, `replaying.py`.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellmesh.scheduler.wire import system

from . import state
from .door import Door

QUIET = 0.5
STEADY = 5.0  # seconds, after which one is begun between two calls, if it is never quiet
_SHARE = 20  # the time that a checkpoint took passes so many times before the next
_AGAIN = 60.0  # seconds, after which a disk is tried again that would not take one
_OVERDUE = 120.0  # seconds, after which a child hangs: it waits for a lock that a thread of ours held
_NO_ROOM = 2  # exit status of a child whose file system would not take it
_OURS = ("cellmesh-", "MainThread")


class Checkpoints:
    """Of one actor. `about` answers what is written with the state; `note` tells people a line.

    `background`: also by itself, not only on demand. `so`: what it means that there are none, for people.
    """

    def __init__(
        self,
        home: Path,
        thing: Callable[[], Any],
        about: Callable[[], dict[str, Any]],
        saved: Callable[[dict[str, Any]], None],
        note: Callable[[str], None],
        *,
        background: bool,
        may_fork: bool,
        so: str = "",
    ) -> None:
        self._path = home / "checkpoint"
        self._thing = thing
        self._about = about
        self._saved = saved
        self._note = note
        self._so = so
        self._may_fork = may_fork and system.LINUX
        self._child: tuple[int, int, dict[str, Any], float] | None = None
        self._quiet_since = 0.0
        self._dirty_since = 0.0
        self._not_before = 0.0
        self._no_room_until = 0.0
        self._dirty = False
        self.background = background
        self.seen = 0  # calls that had run when it last was active
        self.written = 0.0  # wall clock of the last
        self.why_off = ""

    def active(self, calls: int) -> None:
        """So many calls have run: it is quiet from now on."""
        self.seen = calls
        self._quiet_since = time.monotonic()
        if not self._dirty:
            self._dirty, self._dirty_since = True, self._quiet_since

    def due(self) -> float | None:
        """Seconds until one is due; None: not until something runs."""
        if self._child is not None:
            return max(0.0, self._child[3] + _OVERDUE - time.monotonic())
        if not self._dirty or not self.background:
            return None
        return max(0.0, max(self._quiet_since + QUIET, self._not_before) - time.monotonic())

    @property
    def overdue(self) -> bool:
        """Whether one is to be begun between two calls, as there was no quiet for long."""
        if self._child is not None or not self._dirty or not self.background:
            return False
        return time.monotonic() >= max(self._dirty_since + STEADY, self._not_before)

    def begin(self, door: Door) -> None:
        """Write one in the background; one that is still being written by now never ends."""
        if self._child is not None:
            self._may_fork = False
            os.kill(self._child[0], signal.SIGKILL)  # heard of by its pipe
            return
        self._dirty = False
        if not self._forks():
            self.save_if_possible()
            return
        parent, begun = os.getpid(), time.monotonic()
        try:
            about = self._about()
            pid, readable, writable = _forked()
        except OSError as error:
            self._failed(str(error))
            return
        if pid == 0:
            _write_in_child(self._path, self._thing(), about, writable, parent)
        os.close(writable)
        self._child = pid, readable, about, begun
        door.read_also(readable, lambda: self._ended(door))

    def save(self, limit: int | None = None) -> int:
        """Write one now; its size. Raises what pickling the state raises."""
        begun, about = time.monotonic(), self._about()
        size = _write(self._path, self._thing(), about, limit)
        self._wrote(about, begun)
        return size

    def save_if_possible(self) -> bool:
        """Write one now; False if the disk would not take it: later, then. Any other trouble turns it off."""
        if time.monotonic() < self._no_room_until:
            return False
        try:
            self.save(state.LIMIT)
        except OSError as error:
            self._failed(str(error))
            return False
        except Exception as error:  # noqa: BLE001 - pickling runs the user's code
            self._off(_told(error))
        return True

    def close(self) -> None:
        """End a child that still writes."""
        if self._child is not None:
            os.kill(self._child[0], signal.SIGKILL)
            os.waitpid(self._child[0], 0)

    def _forks(self) -> bool:
        """Whether a child may write: there is nothing of a GPU, and no thread but ours to hold a lock."""
        torch = sys.modules.get("torch")
        if not self._may_fork or (torch is not None and torch.cuda.is_initialized()):
            return False
        return all(thread.name.startswith(_OURS) for thread in threading.enumerate())

    def _ended(self, door: Door) -> None:
        assert self._child is not None
        pid, readable, about, begun = self._child
        self._child = None
        door.read_no_more(readable)
        with open(readable, "rb") as file:
            trouble = file.read().decode()
        _, status = os.waitpid(pid, 0)
        if status == 0 and not trouble:
            self._wrote(about, begun)
        elif os.WIFEXITED(status) and os.WEXITSTATUS(status) == _NO_ROOM:
            self._failed(trouble)
        elif not trouble and not self._may_fork:
            self._dirty, self._dirty_since = True, time.monotonic()  # it hung: the next is written here
        else:
            self._off(trouble or f"the process that wrote it ended with status {status}")

    def _wrote(self, about: dict[str, Any], begun: float) -> None:
        now = time.monotonic()
        self._not_before = now + _SHARE * (now - begun)
        self.written = time.time()
        if self._no_room_until:
            self._no_room_until, self.why_off = 0.0, ""
        self._saved(about)

    def _failed(self, trouble: str) -> None:
        """It is not the state's fault: later it may be possible."""
        self._dirty, self._dirty_since = True, time.monotonic()
        self._no_room_until = self._not_before = time.monotonic() + _AGAIN
        why = (
            f"No checkpoint could be written ({trouble}). It is tried again every minute; after a death the "
            "actor goes on from the one before."
        )
        if why != self.why_off:
            self.why_off = why
            self._note(why)

    def _off(self, why: str) -> None:
        self.background = False
        self.why_off = f"Checkpoints are off: {why}{self._so}"
        self._note(self.why_off)


def load(home: Path, kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The object of the last checkpoint, and what was written with it; FileNotFoundError if there is none."""
    with (home / "checkpoint").open("rb") as file:
        about = pickle.load(file)
        return state.read(file, kind, args, kwargs), about


def _write(path: Path, thing: Any, about: dict[str, Any], limit: int | None) -> int:
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as file:
            pickle.dump(about, file)
            state.write(thing, file, limit)
            size = file.tell()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return size


def _forked() -> tuple[int, int, int]:
    """A child's pid (0: we are it), and a pipe."""
    readable, writable = os.pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are threads: ours, and none of them is needed
            return os.fork(), readable, writable
    except OSError:
        os.close(readable)
        os.close(writable)
        raise


def _write_in_child(path: Path, thing: Any, about: dict[str, Any], answer: int, parent: int) -> None:
    """In the forked child; never returns."""
    status = 1
    try:
        gc.disable()  # what it would collect is the parent's
        system.die_with_parent(parent)
        _write(path, thing, about, state.LIMIT)
        status = 0
    except OSError as error:
        status = _NO_ROOM
        os.write(answer, str(error).encode()[:4096])
    except BaseException as error:  # noqa: BLE001 - the parent is told
        os.write(answer, _told(error).encode()[:4096])
    finally:
        os._exit(status)


def _told(error: BaseException) -> str:
    if isinstance(error, state.TooLargeError):
        return (
            f"the state is larger than {state.LIMIT >> 20:,} MiB. Write one when it suits (%mesh save), or "
            "say what is needed of it (__checkpoint__, __restore__)."
        )
    what = str(error) if isinstance(error, state.StateError) else f"{type(error).__name__}: {error}"
    return f"{what}. Say what is needed of the state (__checkpoint__, __restore__)."
