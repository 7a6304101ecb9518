"""What differs by operating system: watching processes, adopting orphans, dying with a parent, memory.

Owns every `sys.platform` question of the project. Never knows hubs or workers. Linux has the exact tools
(pidfd, subreaper, parent-death signal, /dev/shm); elsewhere the nearest thing is used and said here.
Read next: `folders.py`.
"""

import ctypes
import functools
import os
import platform
import resource
import select
import signal
import sys
import tempfile
import time
from pathlib import Path

LINUX = sys.platform == "linux"
APPLE_SILICON = sys.platform == "darwin" and platform.machine() == "arm64"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned descendants (Linux only; elsewhere init is)."""
    if LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent` dies; end now if it has died already.

    Where there is no such signal, workers notice that their hub's lock is free (`worker/main.py`).
    """
    if LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def name_process(name: str) -> None:
    """Show `name` in ps and top (at most 15 bytes on Linux)."""
    if LINUX:
        buffer = ctypes.create_string_buffer(name.encode()[:15])
        ctypes.CDLL(None).prctl(_PR_SET_NAME, buffer, 0, 0, 0)


def watch_process(pid: int) -> int | None:
    """A file descriptor that becomes readable when the process ends; None if it is gone or unwatchable."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def can_watch() -> bool:
    """Whether `watch_process` works here; otherwise owners are looked at once a second."""
    return hasattr(os, "pidfd_open")


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if LINUX:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] != "Z"
    return True


@functools.cache
def shared_memory_folder() -> Path:
    """Where segments live: memory on Linux; elsewhere files that the page cache keeps in memory."""
    folder = Path("/dev/shm")  # noqa: S108 - this is what it is for
    if LINUX and os.access(folder, os.W_OK):
        return folder
    return Path(tempfile.gettempdir())


def usable_cpus() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory() -> int:
    """Bytes that processes like this one may use: the machine's, or what a control group leaves of them."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([limit, *_group_limits()])


def _group_limits() -> list[int]:
    """Memory limits of our control group and those above it, of either version."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:
            root, file = Path("/sys/fs/cgroup"), "memory.max"
        elif "memory" in controllers.split(","):
            root, file = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        else:
            continue
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            try:
                limits.append(int((folder / file).read_text()))
            except (OSError, ValueError):
                continue  # "max", or a group that this container cannot see
    return limits


def oom_kills() -> int:
    """Processes that the operating system has killed for want of memory, ever (0 where it does not tell)."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def peak_memory(usage: resource.struct_rusage) -> int:
    """The most bytes that an ended process had in memory at once."""
    return int(usage.ru_maxrss) * (1024 if sys.platform != "darwin" else 1)


def has_nvidia() -> bool:
    """Whether there is a sign of an NVIDIA driver (the second is WSL2's). Costs nothing, unlike asking it."""
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")


def has_amd() -> bool:
    """Whether there is a sign of AMD's compute driver."""
    return os.path.exists("/dev/kfd")


def monotonic() -> float:
    """Seconds that stand still while the machine sleeps, so that a suspended laptop is not a dead pool."""
    return time.monotonic()


def wait_readable(fd: int, timeout: float) -> bool:
    """Whether `fd` becomes readable within `timeout` seconds."""
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLHUP)
    return bool(poller.poll(max(0, int(timeout * 1000))))
