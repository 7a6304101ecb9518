"""Words for how a process ended, from real processes' wait statuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cellmesh.scheduler.nursery.reaping import Coroner, in_words, out_of_memory
from cellmesh.scheduler.wire import system

GB = 1 << 30


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os._exit(3)", "ended itself (exit code 3, as by os._exit(3))"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("import os; os.abort()", "aborted (SIGABRT)"),
        ("import ctypes; ctypes.string_at(0)", "crashed with a segmentation fault (SIGSEGV)"),
        ("import os; os.kill(os.getpid(), 7)", "crashed with a bus error (SIGBUS)"),
        ("import os; os.kill(os.getpid(), 40)", "was killed by signal 40"),
    ],
)
def test_ends_have_words(code: str, words: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    assert Coroner().words(status, system.peak_memory(usage)).startswith(words)


_PARENT = """
import os, subprocess, sys
from cellmesh.scheduler.wire import system
child = subprocess.Popen([sys.executable, "-c", "x = bytearray(200_000_000)"])
_, _, usage = os.wait4(child.pid, 0)
child.returncode = 0
print(system.peak_memory(usage))
"""


def test_the_peak_of_a_process_is_known_whatever_the_size_of_who_started_its_parent() -> None:
    """A process begins with the peak of its parent, which is the small nursery, not the kernel."""
    large = b"1" * 500_000_000
    done = subprocess.run([sys.executable, "-c", _PARENT], capture_output=True, text=True, check=True)
    assert len(large) == 500_000_000
    assert 200_000_000 < int(done.stdout) < 400_000_000


def test_memory_is_suspected_only_where_that_is_plausible() -> None:
    assert out_of_memory(peak=11 * GB, memory=16 * GB, kills=False)
    assert not out_of_memory(peak=3 * GB, memory=16 * GB, kills=False)
    assert out_of_memory(peak=GB // 4, memory=16 * GB, kills=True)
    assert not out_of_memory(peak=GB // 32, memory=16 * GB, kills=True)


def test_only_a_kill_is_suspected() -> None:
    whole = system.usable_memory()
    assert (
        Coroner().words(signal.SIGKILL, whole)
        == f"was killed by SIGKILL, probably out of memory: peak {in_words(whole)}"
    )
    assert "memory" not in Coroner().words(signal.SIGTERM, whole)
