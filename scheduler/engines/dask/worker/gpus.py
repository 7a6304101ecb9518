"""Which GPUs a Dask worker may be taken to have, where its cluster declares nothing about them.

Owns how that is read from its environment. Never asks the driver. Read next: `plugin.py`.
"""

from __future__ import annotations

import os
import sys


def own_gpus() -> int:
    """How many of them this process has for itself.

    With dask-cuda each worker of a machine sees all of its GPUs, in another order, and works on the first.
    """
    seen = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    return min(seen, 1) if "dask_cuda" in sys.modules else seen


def visible_gpus(listed: str) -> int:
    """How many devices CUDA sees: those before the first that is none.

    >>> [visible_gpus(listed) for listed in ("0,1", "GPU-8932f937-d72c", "", "-1", "0,-1,1", "NoDevFiles")]
    [2, 1, 0, 0, 1, 0]
    """
    count = 0
    for each in listed.split(","):
        if not each.strip().isdecimal() and not each.strip().startswith(("GPU-", "MIG-")):
            break
        count += 1
    return count
