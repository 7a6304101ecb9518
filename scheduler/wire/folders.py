"""Folders and files of hubs: where they are, who may use them, and sweeping up after dead ones.

Owns the runtime folder (sockets, connection files, locks), one folder per hub in it, and each hub's data
folder (journal, logs). Never starts or stops a process. A hub's folder is in use as long as its lock file
is locked: nursery and hub hold it, and the lock vanishes with them however they die.
Read next: `link.py`, `../nursery/start.py`.
"""

import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from . import system


class FolderError(RuntimeError):
    """A folder cannot be used; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to know to reach a hub."""

    protocol: int
    hub: str
    socket: str
    pid: int
    data: str


def _private(folder: Path) -> Path:
    """Make `folder` (0700) or check that it is ours alone."""
    try:
        folder.mkdir(mode=0o700, parents=False, exist_ok=True)
        info = folder.lstat()
    except OSError as error:
        raise FolderError(
            f"cellmesh cannot use the folder {folder}: {error.strerror}. "
            "Set XDG_RUNTIME_DIR (or TMPDIR) to a folder that you may write to."
        ) from error
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise FolderError(
            f"cellmesh will not use {folder}: it is not a folder of yours. "
            "Remove it, or set XDG_RUNTIME_DIR to a folder of your own."
        )
    if info.st_mode & 0o077:
        raise FolderError(f"cellmesh will not use {folder}: others may read it. Run: chmod 700 {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FolderError(f"cellmesh cannot write to {folder}. Run: chmod 700 {folder}")
    return folder


LONGEST_BASE = 50
"""Bytes; a socket's whole path may have some 100."""


def runtime_root() -> Path:
    """The folder of this user's sockets: $XDG_RUNTIME_DIR/cellmesh if that is short, else in /tmp."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir() and len(os.fsencode(base)) <= LONGEST_BASE:
        return _private(Path(base) / "cellmesh")
    return _private(Path("/tmp") / f"cellmesh-{os.getuid()}")  # noqa: S108 - short path, checked above


def _mark() -> str:
    """Marks what belongs to hubs of this runtime folder.

    A user can have two (a login session has XDG_RUNTIME_DIR, a cron job has not). Whoever sweeps one must
    not take the living hubs of the other for dead, as it cannot see their locks.
    """
    return f"{os.getuid()}-{zlib.crc32(os.fsencode(runtime_root())):08x}"


def data_root() -> Path:
    """The folder for what may grow (journals, logs): on disk, not in a small tmpfs."""
    return _private(Path(tempfile.gettempdir()) / f"cellmesh-data-{_mark()}")


def hub_folder(hub: str) -> Path:
    """The runtime folder of the hub of this name."""
    return runtime_root() / hub


def data_folder(hub: str) -> Path:
    """The data folder of the hub of this name."""
    return data_root() / hub


def make_hub_folders(hub: str) -> tuple[Path, Path]:
    """Both folders of a hub, made private."""
    return _private(hub_folder(hub)), _private(data_folder(hub))


def spill_folder(data: Path) -> Path:
    """Where objects lie that do not fit into shared memory, in a hub's data folder."""
    return data / "objects"


def actor_home(data: Path, actor: int) -> Path:
    """What outlives an actor's processes, in a hub's data folder."""
    return data / "actors" / f"{actor:x}"


def gate(folder: Path) -> Path:
    """The socket in a hub's folder by which its processes reach other hosts, if the hub is one of many."""
    return folder / "gate"


def segment_prefix(hub: str) -> str:
    """How the names of all shared-memory segments of a hub begin."""
    return f"cellmesh-{_mark()}-{hub}-"


def take_lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file; returns the descriptor that holds the lock, or None if another holds it.

    The lock file may be unlinked by its last holder while we wait, so the inode is checked after.
    """
    probes = 3  # somebody's look at the lock (`is_locked`) holds it for a moment
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            probes -= 1
            if probes:
                time.sleep(0.005)
                continue
            return None
        try:
            if os.fstat(fd).st_ino == path.stat().st_ino:
                return fd
        except FileNotFoundError:
            pass
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of this file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def write_connection(folder: Path, connection: Connection) -> None:
    """Write the connection file (0600) in one step."""
    target = folder / "connection.json"
    temporary = folder / f"connection.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(asdict(connection), file)
    temporary.replace(target)


def read_connection(folder: Path) -> Connection:
    """Read a hub's connection file; raises FolderError if it is missing, stale or not ours."""
    path = folder / "connection.json"
    try:
        info = path.stat()
        if info.st_uid != os.getuid() or info.st_mode & 0o077:
            raise FolderError(f"cellmesh will not trust {path}: others may write or read it. Remove it.")
        return Connection(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise FolderError(f"There is no cellmesh hub at {folder}: it has ended.") from None
    except (OSError, ValueError, TypeError) as error:
        raise FolderError(
            f"The connection file {path} is damaged ({error}). Remove it, then run %load_ext cellmesh again."
        ) from error


def remove_hub(hub: str) -> list[str]:
    """Remove everything a hub may have left: its folders and its shared-memory segments."""
    removed: list[str] = []
    for folder in (hub_folder(hub), data_folder(hub)):
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(str(folder))
    prefix = segment_prefix(hub)
    for segment in system.shared_memory_folder().glob(prefix + "*"):
        try:
            segment.unlink()
        except FileNotFoundError:
            continue
        removed.append(str(segment))
    removed += _remove_dead_doorbells()
    _remove_free_gpu_locks()
    remove_empty_roots()
    return removed


def start_lock() -> Path:
    """The file whose lock a starter holds: one start at a time, whatever the hub's name."""
    return runtime_root() / "starting"


def remove_empty_roots() -> None:
    """Leave no empty folder behind; but never take one away from under somebody who starts a hub."""
    root, data = runtime_root(), data_root()
    try:
        starting = take_lock(start_lock())
    except FileNotFoundError:
        return  # somebody else was at it, and has taken the root away
    if starting is None:
        return
    try:
        data.rmdir()
    except OSError:
        pass  # other hubs are in it
    start_lock().unlink(missing_ok=True)
    os.close(starting)
    try:
        root.rmdir()
    except OSError:
        pass


def gpu_locks() -> Path:
    """The folder of the locks by which this user's hubs share GPUs."""
    return runtime_root() / "gpus"


def gpu_lock(gpu: str) -> Path:
    """The lock of one GPU. In it stands how many bytes of it were in use before its lease."""
    return gpu_locks() / "".join(c if c.isalnum() else "_" for c in gpu)


def _remove_free_gpu_locks() -> None:
    folder = gpu_locks()
    for path in folder.glob("*"):
        lock = take_lock(path)
        if lock is not None:
            path.unlink(missing_ok=True)
            os.close(lock)
    try:
        folder.rmdir()
    except OSError:
        pass  # not there, or a living hub holds a GPU


DOORBELL_PROTOCOL = 1
"""Of the one question and the one answer between a kernel and its server's extension."""


def doorbell_path(pid: int) -> Path:
    """The socket by which kernels ask the Jupyter server of this process id for its hub."""
    return runtime_root() / f"doorbell-{pid}.sock"


def dead_doorbells() -> list[Path]:
    """Doorbells of Jupyter servers that were killed."""
    found = []
    for path in runtime_root().glob("doorbell-*.sock"):
        pid = path.stem.removeprefix("doorbell-")
        if pid.isdigit() and not system.is_alive(int(pid)):
            found.append(path)
    return sorted(found)


def _remove_dead_doorbells() -> list[str]:
    dead = dead_doorbells()
    for path in dead:
        path.unlink(missing_ok=True)
    return [str(path) for path in dead]


def hubs() -> dict[str, bool]:
    """Names of all hubs with a folder, and whether each is alive."""
    found: dict[str, bool] = {}
    for root in (runtime_root(), data_root()):
        for folder in root.iterdir():
            if folder.is_dir() and folder.name != "gpus":
                found[folder.name] = is_locked(runtime_root() / folder.name / "lock")
    return found


def sweep() -> list[str]:
    """Remove what dead hubs left; returns what was removed. Living hubs are not touched."""
    removed: list[str] = []
    living = set()
    for hub, alive in hubs().items():
        if alive:
            living.add(hub)
        else:
            removed += remove_hub(hub)
    for orphan in orphan_segments(living):
        orphan.unlink(missing_ok=True)
        removed.append(str(orphan))
    return removed + _remove_dead_doorbells()


def orphan_segments(living: set[str] | None = None) -> list[Path]:
    """Shared-memory segments of this user whose hub is gone."""
    if living is None:
        living = {hub for hub, alive in hubs().items() if alive}
    prefixes = tuple(segment_prefix(hub) for hub in living)
    mine = system.shared_memory_folder().glob(f"cellmesh-{_mark()}-*")
    return sorted(path for path in mine if not path.name.startswith(prefixes or ("\0",)))
