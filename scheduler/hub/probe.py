"""Asks which accelerators this machine has, of a process that ends with its answer.

The hub lives long and must not load a driver's library, so it starts the worker room's detection by name.
Where there is no sign of a device it starts nothing: a laptop without one pays nothing.
Never leases a device: the core does. Read next: `../worker/devices.py`.
"""

import os
import subprocess
import sys

import msgspec

from cellmesh.scheduler.wire import system

_PROBE = (
    "import sys; sys.path[:] = sys.argv[1].split(chr(10)); "
    "from cellmesh.scheduler.worker.devices import main; main()"
)

_SECONDS = 15.0  # a driver that was asleep takes some; whoever starts the hub waits a little longer


class _Device(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    devices: list[_Device]
    trouble: list[str]


def devices() -> tuple[str, ...]:
    """Ids of the accelerators that workers of this hub may hold. What is in the way goes to the log."""
    signs = system.has_nvidia() or system.has_amd() or system.APPLE_SILICON
    if not signs and "CELLMESH_LOGICAL_GPUS" not in os.environ:
        return ()
    command = [sys.executable, "-c", _PROBE, "\n".join(sys.path)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=_SECONDS, check=True)
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        print(f"cellmesh: GPUs could not be looked for: {error}", file=sys.stderr, flush=True)
        return ()
    for trouble in answer.trouble:
        print(f"cellmesh: {trouble}", file=sys.stderr, flush=True)
    return tuple(device.id for device in answer.devices)
