"""How processes end: words for exit statuses, and the end of all descendants.

Owns the last minute of the nursery. Never decides when that comes. Read next: `nursery.py`.
"""

import os
import signal
from collections.abc import Iterable

HINTS = {
    signal.SIGKILL: "was killed by SIGKILL (perhaps out of memory)",
    signal.SIGSEGV: "crashed with a segmentation fault (SIGSEGV) in native code",
    signal.SIGABRT: "aborted (SIGABRT) in native code",
    signal.SIGTERM: "was ended by SIGTERM",
}


def describe_exit(status: int) -> str:
    """Words for a wait status.

    >>> describe_exit(0)
    'ended by itself (exit code 0)'
    >>> describe_exit(9)
    'was killed by SIGKILL (perhaps out of memory)'
    """
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        return HINTS.get(number, f"was killed by {number.name}")
    return f"ended by itself (exit code {os.waitstatus_to_exitcode(status)})"


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
