"""Memory, also of GPUs: what this process holds, and who holds how much when that does not suffice.

Owns the note on an out-of-memory error. Asks the driver only when asked. Read next: `../devices.py`,
`../../objects/torch_cuda.py`.
"""

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

from cellmesh.scheduler.objects import torch_cuda
from cellmesh.scheduler.worker import devices


def explain(error: BaseException) -> None:
    """Note on a GPU's out-of-memory error who holds its memory; and let go of what the call held of it."""
    chain = list(_chain(error))
    if not any(map(torch_cuda.is_full, chain)):
        return
    for device in devices.visible():
        looked = devices.look(device)
        if looked is not None:
            found, holders = looked
            who = ", ".join(str(holder) for holder in sorted(holders, key=lambda each: -each.used))
            error.add_note(
                f"GPU {found.id} ({found.name}): {found.used >> 20:,} of {found.total >> 20:,} MiB in use"
                + (f", {who}" if who else "")
                + f". This actor is process {os.getpid()}, of which torch holds "
                f"{torch_cuda.reserved() >> 20:,} MiB."
            )
    for one in chain:
        traceback.clear_frames(one.__traceback__)  # their variables are tensors
    torch_cuda.let_go()


def held() -> int:
    """Bytes that this process holds on its GPUs; 0 if that is not known.

    Where the driver numbers processes otherwise, as in a container, it is what torch holds.
    """
    looked = [devices.look(device) for device in devices.visible()]
    told = sum(
        holder.used for each in looked if each is not None for holder in each[1] if holder.pid == os.getpid()
    )
    return told or torch_cuda.reserved()


def resident() -> int:
    """Bytes of memory that this process holds; 0 if that is not known."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
