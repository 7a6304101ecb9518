"""A GPU is handed on when its memory is back: what a new worker waits for before its first task.

Owns the wait. The level is what was in use when the device was leased before; it stands in the device's lock
file, which the hub holds for us meanwhile. Whoever still holds memory after ten seconds is named, and work
goes on: it may be somebody else's for good. Never ends anybody. Read next: `devices.py`, `../hub/leases.py`.
"""

import time
from collections.abc import Callable, Sequence
from enum import Enum

from cellmesh.scheduler.wire import folders

from . import devices
from .devices import Device, Holder

TOLERANCE = 256 << 20
PATIENCE = 10.0

_SILENCE = 1.0  # most drivers need less; nothing is said before
_LOOK_AGAIN = 0.1  # no driver tells when memory is freed

Look = Callable[[str], tuple[Device, list[Holder]] | None]


class Verdict(Enum):
    """What the memory of a device says about handing it on."""

    BACK = "back"
    WAIT = "wait"
    LATE = "late"  # patience is at its end


def judge(level: int | None, used: int, waited: float) -> Verdict:
    """Whether a device may be used now. `level` is None when it was never leased before."""
    if level is None or used <= level + TOLERANCE:
        return Verdict.BACK
    return Verdict.WAIT if waited < PATIENCE else Verdict.LATE


def await_memory(
    gpus: Sequence[str], tell: Callable[[str], None], check: Callable[[], None], look: Look = devices.look
) -> None:
    """Return when these devices may be used. `tell` shows a line to people; `check` raises an interrupt."""
    for gpu in gpus:
        level = _noted(gpu)
        begun, told = time.monotonic(), False
        while (seen := look(gpu)) is not None:
            device, holders = seen
            waited = time.monotonic() - begun
            verdict = judge(level, device.used, waited)
            if verdict is Verdict.BACK:
                # Not higher than before: else it would creep up by the tolerance each time.
                _note(gpu, device.used if level is None else min(level, device.used))
                break
            assert level is not None
            more = f"{(device.used - level) >> 20:,} MiB more in use than before its last use"
            if verdict is Verdict.LATE:
                tell(f"GPU {gpu} is used now, with {more}: {_names(holders)}")
                _note(gpu, device.used)
                break
            if waited >= _SILENCE and not told:
                told = True
                tell(f"waiting up to {PATIENCE:.0f} s for the memory of GPU {gpu}, {more}: {_names(holders)}")
            check()
            time.sleep(_LOOK_AGAIN)


def _names(holders: Sequence[Holder]) -> str:
    most = sorted(holders, key=lambda holder: -holder.used)
    return "; ".join(map(str, most)) or "by no process that can be seen from here"


def _noted(gpu: str) -> int | None:
    try:
        text = folders.gpu_lock(gpu).read_text()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def _note(gpu: str, level: int) -> None:
    folders.gpu_lock(gpu).write_text(str(level))
