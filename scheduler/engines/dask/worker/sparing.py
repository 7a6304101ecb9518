"""Stop in a notebook spares the Dask workers that the notebook itself has started.

Jupyter's Stop is a SIGINT to the kernel and to all other processes of its group. The workers of a
`LocalCluster` made there are among them; they would close as if they were retired, so that their nannies
start no others, and the cluster would be empty from then on. Owns who is in that group, and that nothing
happens there on SIGINT. Never stops what runs: the notebook's wish does (`interrupting.py`). Read next:
`plugin.py`.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

import psutil

_SAME_SECONDS = 2.0
"""When a process began is known to each reader to this, as the clock is set meanwhile."""


class Origin:
    """The process that makes this; it is pickled and taken to others."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._begun = psutil.Process().create_time()

    def spare(self) -> None:
        """Have this process live on when Stop is pressed there, if it would get the signal as well."""
        if self._in_group() and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, _nothing)  # not SIG_IGN, which programs started here would inherit

    def _in_group(self) -> bool:
        if self._pid == os.getpid():
            return False
        try:
            return (
                abs(psutil.Process(self._pid).create_time() - self._begun) < _SAME_SECONDS
                and os.getpgid(self._pid) == os.getpgrp()
            )
        except (psutil.Error, OSError):
            return False  # on another host, or gone


def _nothing(number: int, frame: FrameType | None) -> None:
    """What happens on SIGINT."""
