"""How processes end: words for exit statuses, and the end of all descendants.

Owns the last minute of the nursery. Never decides when that comes. Read next: `nursery.py`.
"""

import os
import signal
from collections.abc import Iterable

from cellmesh.scheduler.wire import system

CRASHES: dict[int, str] = {
    signal.SIGSEGV: "crashed with a segmentation fault (SIGSEGV) in native code",
    signal.SIGBUS: "crashed with a bus error (SIGBUS): a mapped file was cut, or /dev/shm is full",
    signal.SIGABRT: "aborted (SIGABRT) in native code",
    signal.SIGFPE: "crashed with an arithmetic error (SIGFPE) in native code",
    signal.SIGILL: "crashed with an illegal instruction (SIGILL) in native code",
    signal.SIGTERM: "was ended by SIGTERM",
}
SUSPECT_ALONE = 2
"""A killed process that held this fraction of the memory (1/2) is suspected with no further evidence."""
SUSPECT_LEAST = 128 << 20
"""With that evidence (something was killed for want of memory meanwhile) so many bytes are enough."""


class Coroner:
    """Says how processes ended. Keeps count of what the operating system killed for want of memory."""

    def __init__(self) -> None:
        self._memory = system.usable_memory()
        self._oom_kills = system.oom_kills()

    def words(self, status: int, peak: int) -> str:
        """Words for a wait status and the most bytes that the process had in memory."""
        if not os.WIFSIGNALED(status):
            code = os.waitstatus_to_exitcode(status)
            return f"ended itself (exit code {code}, as by os._exit({code}))"
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            return CRASHES.get(number) or f"was killed by {_name(number)}"
        before, self._oom_kills = self._oom_kills, system.oom_kills()
        if out_of_memory(peak, self._memory, self._oom_kills > before):
            return f"was killed by SIGKILL, probably out of memory: peak {in_words(peak)}"
        return "was killed by SIGKILL"


def out_of_memory(peak: int, memory: int, kills: bool) -> bool:
    """Whether a killed process is likely to have been killed for its memory.

    >>> out_of_memory(peak=11 << 30, memory=16 << 30, kills=False)
    True
    >>> out_of_memory(peak=30 << 20, memory=16 << 30, kills=True)  # somebody else was
    False
    """
    return peak * SUSPECT_ALONE >= memory or (kills and peak >= SUSPECT_LEAST)


def in_words(size: int) -> str:
    """
    >>> in_words(11_234_567_890), in_words(52_000_000)
    ('11.2 GB', '52 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def end_all(pids: Iterable[int]) -> None:
    """Kill these processes, their groups and every other descendant of ours, and wait for them."""
    for pid in pids:
        if pid:
            _kill(pid)
    import psutil  # late: only the end of the nursery needs it

    me = psutil.Process()
    while children := me.children(recursive=True):
        for child in children:
            _kill(child.pid)
        psutil.wait_procs(children, timeout=1.0)
        _reap()
    _reap()


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # gone, or not the leader of a group


def _reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return
