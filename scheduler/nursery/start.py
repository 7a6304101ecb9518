"""Finds a living hub by name, or starts one: the nursery in an OS session of its own, and it the hub.

Owns the race between starters (one lock) and the wait until the hub answers. Never talks to the hub.
Read next: `nursery.py`.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cellmesh.scheduler.wire import folders, system

START_SECONDS = 20.0

_started: list["subprocess.Popen[bytes]"] = []
"""Nurseries outlive us by design; those that ended are reaped when the next hub is asked for."""


class HubStartError(RuntimeError):
    """The hub could not be started; the message says why and what to do."""


def ensure_hub(name: str, owner: int | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the living hub of this name; starts the hub if there is none.

    The hub ends when its last session has ended, and at once when the process `owner` ends. `environ` is what
    it shall find in its environment beside ours.
    """
    _started[:] = [process for process in _started if process.poll() is None]
    lock = _take_turn()
    try:
        folder = folders.hub_folder(name)
        if folders.is_locked(folder / "lock"):
            if (folder / "connection.json").exists():
                return folder
            _wait_for_the_end(folder)  # it is just ending
        folders.sweep()
        return _start(name, owner, environ or {})
    except BaseException:
        _give_turn(lock)
        folders.remove_empty_roots()
        raise
    finally:
        _give_turn(lock)


def _take_turn() -> list[int]:
    """One start at a time, whatever the name: a sweep must not meet a folder that is just being made."""
    while True:
        try:
            lock = folders.take_lock(folders.start_lock(), wait=True)
        except FileNotFoundError:
            continue  # a hub that ended has just removed the empty folder
        if lock is not None:
            return [lock]


def _give_turn(lock: list[int]) -> None:
    while lock:
        folders.start_lock().unlink(missing_ok=True)
        os.close(lock.pop())


def _wait_for_the_end(folder: Path) -> None:
    try:
        lock = folders.take_lock(folder / "lock", wait=True)
    except FileNotFoundError:
        return  # it ended and swept up after itself
    if lock is not None:
        os.close(lock)


def _start(name: str, owner: int | None, environ: Mapping[str, str]) -> Path:
    folder, data = folders.make_hub_folders(name)
    lock = folders.take_lock(folder / "lock")
    if lock is None:
        raise HubStartError(f"Another process is starting the hub {name!r}; run %load_ext cellmesh again.")
    ready_read, ready_write = os.pipe()
    log = data / "nursery.log"
    try:
        with log.open("ab") as output:
            # `-c` with our own sys.path: the package may be found through the path alone, and `-m` would
            # put the working directory in front of it.
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "import sys; sys.path[:] = sys.argv[5].split(chr(10)); "
                    "from cellmesh.scheduler.nursery.nursery import main; main(sys.argv[1:5])",
                    name,
                    str(owner or 0),
                    str(lock),
                    str(ready_write),
                    "\n".join(os.path.abspath(entry) for entry in sys.path),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, **environ},
                start_new_session=True,
                pass_fds=(lock, ready_write),
            )
    except OSError as error:
        raise HubStartError(f"The hub could not be started: {error}.") from error
    finally:
        os.close(ready_write)
        os.close(lock)
    with os.fdopen(ready_read, "rb") as ready:
        answered = system.wait_readable(ready.fileno(), START_SECONDS) and ready.read(1) == b"1"
    if not answered:
        words = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        if process.poll() is None:
            process.kill()
        process.wait()
        folders.remove_hub(name)
        raise HubStartError(
            "The hub did not start" + (f": {words[-1]}" if words else ".") + " Run: python -m cellmesh doctor"
        )
    _started.append(process)
    return folder
