"""Memory, also of GPUs: what this process holds, and who holds how much when that does not suffice.

Owns the note on an out-of-memory error. Never imports torch: an error of torch's has imported it. Asks the
driver only when asked. Read next: `../devices.py`.
"""

import os
import sys
import traceback
from pathlib import Path

from cellmesh.scheduler.worker import devices


def explain(error: BaseException) -> None:
    """Note on a GPU's out-of-memory error who holds its memory; and let go of what the call held of it."""
    if type(error).__name__ != "OutOfMemoryError":
        return
    for device in devices.visible():
        looked = devices.look(device)
        if looked is not None:
            found, holders = looked
            who = ", ".join(str(holder) for holder in sorted(holders, key=lambda each: -each.used))
            error.add_note(
                f"GPU {found.id} ({found.name}): {found.used >> 20:,} of {found.total >> 20:,} MiB in use"
                + (f", {who}" if who else "")
                + f". This actor is process {os.getpid()}."
            )
    traceback.clear_frames(error.__traceback__)  # their variables are tensors
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()


def held() -> int:
    """Bytes that this process holds on its GPUs; 0 if that is not known."""
    looked = [devices.look(device) for device in devices.visible()]
    return sum(
        holder.used for each in looked if each is not None for holder in each[1] if holder.pid == os.getpid()
    )


def resident() -> int:
    """Bytes of memory that this process holds; 0 if that is not known."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
