"""How many files this process may have open: each host takes some, and libzmq ends the process without them.

Owns the check before a host is attached to. Raises the process's own limit as far as it may. Read next:
`notebook/fleet.py`.
"""

from __future__ import annotations

import os
import resource

from cellmesh.scheduler.engines.contract import EngineError

_SPARE = 512
"""What a few hosts take that are attached to side by side, and whatever else the notebook opens meanwhile."""


def make_room() -> None:
    """Have this process be able to attach to some more hosts; EngineError if it cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/dev/fd")) + _SPARE
    if needed <= soft:
        return
    most = needed * 2 if hard == resource.RLIM_INFINITY else min(needed * 2, hard)
    if most < needed:
        raise EngineError(
            f"This process has {needed - _SPARE} files open and may have {hard}: too few to attach to more "
            "hosts. Raise the limit (ulimit -n, or LimitNOFILE= of the service) and start the server again."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
