"""Waiting for an actor: quickly if the answer comes at once, else with a line that says for what.

Owns the order of the two. Read next: `roads.py`, `cellmesh/kernel/progress.py`.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cellmesh.kernel import progress, waiting
from cellmesh.scheduler.worker import lending
from cellmesh.widgets.viewmodel import ProgressRow

if TYPE_CHECKING:
    from .caller import Caller


def is_vain(caller: "Caller") -> bool:
    """Whether no call can begin before whoever waits has ended: an actor's one thread waits for the actor."""
    info = caller.info
    if info.pid != os.getpid() or info.options.threads > 1:
        return False
    return threading.current_thread() is threading.main_thread()


def until(
    caller: "Caller",
    done: Callable[[], bool],
    timeout: float | None,
    title: str,
    count: Callable[[], tuple[int, int | None]] | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Wait until `done()`; TimeoutError if it takes too long.

    `count` tells how much of how much is done. Nothing is shown if it is `quiet`.
    """
    begun = time.monotonic()
    with lending.lent():
        if not caller.read_until(done, progress.FIRST if timeout is None else min(progress.FIRST, timeout)):
            _for_long(caller, done, timeout, begun, title, count, quiet=quiet)


def _for_long(
    caller: "Caller",
    done: Callable[[], bool],
    timeout: float | None,
    begun: float,
    title: str,
    count: Callable[[], tuple[int, int | None]] | None,
    *,
    quiet: bool,
) -> None:
    """People want to know what they wait for."""
    session = caller.session
    deadline = None if timeout is None else begun + timeout

    def row(seconds: float) -> ProgressRow:
        taken = int(time.monotonic() - begun)
        over = done()
        so_far, total = count() if count is not None else (int(over), 1)
        return ProgressRow("", title, so_far, total, 0, taken, 0.0, None, over, "done", caller.why())

    bar = progress.Progress(session, row)
    try:
        with waiting.interruptible():
            while not session.bell.wait(done, bar.until_next(deadline)):
                if deadline is not None and time.monotonic() >= deadline:
                    because = f" ({caller.why()})" if caller.why() else ""
                    raise TimeoutError(f"{title}: no answer within {timeout:g} s{because}.")
                if not quiet:
                    bar.show()
    except KeyboardInterrupt:
        if not quiet:
            bar.stop("stopped")
        raise
    finally:
        if not quiet:
            bar.pause()
