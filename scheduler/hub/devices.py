"""The accelerators of this machine, as ids that CUDA_VISIBLE_DEVICES takes.

Owns detection. Never leases anything: the core does. `CELLMESH_LOGICAL_GPUS=4` declares four where there
are none, for tests and teaching. Read next: `main.py`.
"""

import os
import shutil
import subprocess


def visible_gpus() -> tuple[str, ...]:
    """Ids of the GPUs that this user may use."""
    logical = os.environ.get("CELLMESH_LOGICAL_GPUS", "")
    if logical.isdigit():
        return tuple(str(index) for index in range(int(logical)))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part.strip() for part in visible.split(",") if part.strip() not in ("", "-1"))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        done = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()  # a driver without a device, or a broken one: `doctor` says which
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
