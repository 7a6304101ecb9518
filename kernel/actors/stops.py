"""A Stop that may be the first of a restart: Jupyter interrupts a kernel before it shuts it down.

Owns the moment that is waited to tell the two apart, so that a restart takes no running call from an actor
that outlives it. Read next: `caller.py`, `cellmesh/kernel/stop.py`.
"""

import threading
from collections.abc import Callable

from cellmesh.kernel import stop

GRACE = 0.3  # seconds in which the order to shut down comes, if it comes


def unless_restarting(then: Callable[[], object]) -> None:
    """Do this in a moment, in another thread; never, if the kernel is on its way out by then."""
    kernel = stop.kernel()
    if kernel is None:  # a script or a terminal: nobody restarts it
        then()
        return

    def certain() -> None:
        if getattr(kernel, "_shutdown_message", None) is None:
            then()

    timer = threading.Timer(GRACE, certain)
    timer.daemon = True
    timer.start()
