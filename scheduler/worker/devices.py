"""The accelerators of this machine: which there are, who uses their memory, what a process sees of them.

The one place that knows vendors. Owns detection (NVIDIA through NVML, AMD through what its driver shows in
/sys, Apple by its processor, logical ones by `CELLMESH_LOGICAL_GPUS=4`) and the variables of visibility.
Never leases a device: the core does. Runs in workers, in the doctor, and for the hub in a short process of
its own (`main`), so that neither hub nor kernel ever loads a driver's library.

A device's id is what people see, what hubs lock, and what its kind is known by: "0" (NVIDIA, in the order of
nvidia-smi; also a logical one), "MIG-<uuid>", "amd0", "mps". Read next: `handover.py`, `nvml.py`.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cellmesh.scheduler.wire import system

from . import nvml

LOGICAL = "CELLMESH_LOGICAL_GPUS"

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
)
"""What a worker sees is ours to say, whatever the notebook's environment says."""

_AMD = "amd"
_APPLE = "mps"
_SYS = Path("/sys/class")


@dataclass(frozen=True, slots=True)
class Device:
    """One device; bytes are 0 where nobody can tell."""

    id: str
    kind: Literal["nvidia", "amd", "apple", "logical"]
    name: str
    total: int = 0
    used: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory on a device."""

    pid: int
    name: str
    used: int

    def __str__(self) -> str:
        size = f"{self.used >> 20:,} MiB by " if self.used else ""
        return f"{size}process {self.pid}{f' ({self.name})' if self.name else ''}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the machine brought, and what was in the way."""

    devices: tuple[Device, ...]
    trouble: tuple[str, ...] = ()


def find() -> Found:
    """The devices that this user's processes may use.

    Logical ones take the place of all others. What `CUDA_VISIBLE_DEVICES` and `HIP_VISIBLE_DEVICES` hide is
    left out; their numbers are taken in the order of nvidia-smi.
    """
    logical = os.environ.get(LOGICAL, "")
    if logical.isdigit():
        return Found(tuple(Device(str(i), "logical", "logical GPU") for i in range(int(logical))))
    devices: list[Device] = []
    trouble: list[str] = []
    if system.has_nvidia():
        try:
            devices += [device for device, _ in _nvidia()]
        except nvml.NvmlError as error:
            trouble.append(f"NVIDIA: {error}")
    devices += [device for device, _ in _amd(_SYS)]
    if system.APPLE_SILICON:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        devices.append(Device(_APPLE, "apple", "Apple GPU (MPS), memory shared with the processor", total))
    return Found(tuple(devices), tuple(trouble))


def look(device: str) -> tuple[Device, list[Holder]] | None:
    """How a device is now, and who holds memory on it; None where that cannot be told."""
    if os.environ.get(LOGICAL) or device == _APPLE:
        return None
    if device.startswith(_AMD):
        for found, node in _amd(_SYS, hidden=True):
            if found.id == device:
                return found, _amd_holders(_SYS, node)
        return None
    try:
        for found, handle in _nvidia(hidden=True, only=device):
            return found, _nvidia_holders(handle)
    except nvml.NvmlError:
        return None  # it was there when the hub looked: the user's own code will meet the driver's words
    return None


def visibility(devices: Sequence[str]) -> dict[str, str]:
    """What a process's environment must say so that it sees these devices and no others.

    One without devices sees none, so that it does not take one by accident. Apple's cannot be hidden.
    """
    amd = [device.removeprefix(_AMD) for device in devices if device.startswith(_AMD)]
    cuda = [device for device in devices if not device.startswith(_AMD) and device != _APPLE]
    environ = {"CUDA_VISIBLE_DEVICES": ",".join(cuda)}
    if cuda:
        environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # else the fastest would be number 0
    if amd or system.has_amd():
        # HIP takes an empty list for "no filter", and CUDA's variable for its own where HIP's is not set.
        environ["HIP_VISIBLE_DEVICES"] = ",".join(amd) or "-1"
    return environ


def show_only(devices: Sequence[str]) -> None:
    """Make this process, which has not used a device yet, see these and no others."""
    for name in VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(visibility(devices))


def visible() -> list[str]:
    """The ids of the devices that `show_only` has left to this process."""
    found = _allowed("CUDA_VISIBLE_DEVICES") or []
    return found + [f"{_AMD}{part}" for part in _allowed("HIP_VISIBLE_DEVICES") or [] if part != "-1"]


def main() -> None:
    """For the hub, which loads no driver's library: say what there is, as JSON."""
    found = find()
    answer = {"devices": [asdict(device) for device in found.devices], "trouble": found.trouble}
    json.dump(answer, sys.stdout)


# --- NVIDIA ---------------------------------------------------------------------------------------


def _nvidia(*, hidden: bool = False, only: str = "") -> Iterator[tuple[Device, nvml.Handle]]:
    """NVIDIA's devices; MIG instances in the place of a device that is cut into them."""
    allowed = None if hidden else _allowed("CUDA_VISIBLE_DEVICES")
    with nvml.opened() as library:
        for index, whole in enumerate(library.devices()):
            parts = list(whole.instances())
            for handle in parts or [whole]:
                uuid = handle.uuid()
                name = uuid if parts else str(index)
                if (only and name != only) or (allowed is not None and not _is_allowed(allowed, name, uuid)):
                    continue
                total, used = handle.memory()
                yield Device(name, "nvidia", handle.name(), total, used), handle


def _nvidia_holders(handle: nvml.Handle) -> list[Holder]:
    try:
        processes = handle.processes()
    except nvml.NvmlError:
        return []  # in some containers the driver does not tell; how much is in use it does
    return [Holder(pid, _process_name(pid), size) for pid, size in processes]


def _allowed(variable: str) -> list[str] | None:
    value = os.environ.get(variable)
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def _is_allowed(allowed: list[str], name: str, uuid: str) -> bool:
    """As CUDA reads its variable: numbers, or beginnings of UUIDs."""
    return any(part == name or (not part.isdigit() and uuid.startswith(part)) for part in allowed)


def _process_name(pid: int) -> str:
    import psutil  # only where somebody must be named: every worker loads this file

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return ""  # of another container, or gone


# --- AMD ------------------------------------------------------------------------------------------


def _amd(root: Path, *, hidden: bool = False) -> Iterator[tuple[Device, int]]:
    """AMD's devices and their ids in the driver, in the order in which HIP numbers them.

    ROCR's list counts all devices, HIP's those that ROCR's leaves.
    """
    folders = sorted((root / "kfd/kfd/topology/nodes").glob("[0-9]*"), key=lambda node: int(node.name))
    nodes = [(node, _properties(node / "properties")) for node in folders]
    nodes = [(node, properties) for node, properties in nodes if properties.get("simd_count")]
    numbers = list(range(len(nodes)))
    for variable in () if hidden else ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        allowed = _allowed(variable)
        if allowed is not None:
            uuids = [f"GPU-{nodes[number][1].get('unique_id', 0):x}" for number in numbers]
            numbers = [
                number
                for place, number in enumerate(numbers)
                if str(place) in allowed or uuids[place] in allowed
            ]
    for number in numbers:
        node, properties = nodes[number]
        vram = root / "drm" / f"renderD{properties.get('drm_render_minor', 0)}" / "device"
        name = _read(node / "name") or "AMD GPU"
        total, used = (_number(vram / f"mem_info_vram_{what}") for what in ("total", "used"))
        yield Device(f"{_AMD}{number}", "amd", name, total, used), _number(node / "gpu_id")


def _amd_holders(root: Path, gpu: int) -> list[Holder]:
    holders = []
    for process in (root / "kfd/kfd/proc").glob("[0-9]*"):
        used = _number(process / f"vram_{gpu}")
        if used:
            holders.append(Holder(int(process.name), _process_name(int(process.name)), used))
    return holders


def _properties(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: Path) -> int:
    text = _read(path)
    return int(text) if text.isdigit() else 0


def _read(path: Path) -> str:
    """What the driver says there; '' where this user may not read it, as with nodes of other containers."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
