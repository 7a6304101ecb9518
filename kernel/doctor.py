"""The doctor: looks at this machine and says, line by line, what is well and what to do about the rest.

Owns its checks and their words. Never starts or stops a hub, and removes nothing unless told to
(`--clean`, and then only what dead hubs left). Exit code 1 means that something must be mended.
Read next: `../scheduler/wire/folders.py`.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from cellmesh.scheduler.objects import room
from cellmesh.scheduler.wire import folders, system
from cellmesh.scheduler.wire.messages import PROTOCOL
from cellmesh.scheduler.worker import devices

EXTENSION = "cellmesh.jupyter_ext"
PACKAGES = ("cellmesh", "pyzmq", "msgspec", "cloudpickle", "ipykernel", "jupyter_server")
SMALL_MEMORY_FOLDER = 1 << 30
NEARLY_FULL = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    level: Literal["ok", "warn", "problem"]
    text: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<8} {self.text}"
        return f"{line}\n         -> {self.advice}" if self.advice else line


def versions() -> Iterator[Finding]:
    """Python and the packages that matter."""
    yield Finding("ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if found:
        yield Finding("ok", ", ".join(found))
    if "cellmesh" in missing:
        missing.remove("cellmesh")
        yield Finding("ok", f"cellmesh is not installed here but runs from {Path(__file__).parent.parent}")
    if missing:
        yield Finding("problem", f"not installed here: {', '.join(missing)}", "pip install cellmesh")


def extension() -> Iterator[Finding]:
    """Whether a Jupyter server of this environment will load us."""
    if "CELLMESH_DOORBELL" in os.environ:
        bell = Path(os.environ["CELLMESH_DOORBELL"])
        if bell.exists():
            yield Finding("ok", "the Jupyter server that started this process has the cellmesh extension")
        else:
            yield Finding("warn", f"the doorbell {bell} is gone: its Jupyter server has ended")
    try:
        from jupyter_core.paths import jupyter_config_path
        from jupyter_server.extension.config import ExtensionConfigManager
    except ImportError:
        yield Finding("problem", "jupyter_server is not installed here", "pip install cellmesh")
        return
    manager: Any = ExtensionConfigManager(read_config_path=jupyter_config_path())
    settings = manager.get("jupyter_server_config")
    setting = settings.get("ServerApp", {}).get("jpserver_extensions", {}).get(EXTENSION)
    if setting:
        yield Finding("ok", "the Jupyter server extension is enabled in this environment")
        return
    state = "disabled" if setting is False else "not listed"
    yield Finding(
        "warn",
        f"the Jupyter server extension is {state} in this environment's Jupyter settings; "
        "notebooks work all the same, on your own hub",
        f"jupyter server extension enable --sys-prefix {EXTENSION}",
    )


def memory_folder() -> Iterator[Finding]:
    """Room for objects that processes share."""
    folder = system.shared_memory_folder()
    if system.LINUX and str(folder) != "/dev/shm":  # noqa: S108 - a comparison
        yield Finding(
            "warn",
            f"/dev/shm cannot be written to; large objects go through {folder}, which is slower",  # noqa: S108
            "chmod 1777 /dev/shm, as root",
        )
    usage = shutil.disk_usage(folder)
    text = f"{folder}: {_size(usage.free)} free of {_size(usage.total)}"
    if usage.free < NEARLY_FULL:
        yield Finding("problem", text, "free some: python -m cellmesh doctor --clean removes what hubs left")
    elif usage.total < SMALL_MEMORY_FOLDER:
        yield Finding(
            "warn",
            f"{text}; large objects will be files, which is slower",
            "in a container, give it more: docker run --shm-size=4g",
        )
    else:
        yield Finding("ok", text)


def gpus() -> Iterator[Finding]:
    """Accelerators, as workers would get them."""
    found = devices.find()
    for trouble in found.trouble:
        yield Finding("warn", trouble, "check the driver; nvidia-smi must list the GPU")
    for device in found.devices:
        memory = f", {_size(device.used)} of {_size(device.total)} in use" if device.total else ""
        yield Finding("ok", f"GPU {device.id}: {device.name}{memory}")
    if not found.devices:
        yield Finding("ok", "no GPU here that workers could use")


def runtime_folders() -> Iterator[Finding]:
    """The folders of sockets and of what grows."""
    for make in (folders.runtime_root, folders.data_root):
        try:
            folder = make()
        except folders.FolderError as error:
            yield Finding("problem", str(error))
        else:
            yield Finding("ok", f"{folder} is private and can be written to")


def hubs() -> Iterator[Finding]:
    """Hubs that run now, and what dead ones left."""
    found = folders.hubs()
    running = sorted(name for name, alive in found.items() if alive)
    for name in running:
        try:
            connection = folders.read_connection(folders.hub_folder(name))
        except folders.FolderError:
            yield Finding("ok", f"hub {name} is starting or ending")
            continue
        if connection.protocol == PROTOCOL:
            yield Finding("ok", f"hub {name} runs (process {connection.pid}){_actors(name)}{_objects(name)}")
        else:
            yield Finding(
                "warn",
                f"hub {name} (process {connection.pid}) is of another cellmesh version",
                "install the same version everywhere, then restart the Jupyter server",
            )
    if not running:
        yield Finding("ok", "no hub runs now; it starts with %load_ext cellmesh")
    left = [str(folders.hub_folder(name)) for name, alive in found.items() if not alive]
    left += [str(path) for path in folders.orphan_segments(set(running))]
    left += [str(path) for path in folders.dead_doorbells()]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        yield Finding(
            "warn",
            f"dead hubs or servers left {', '.join(left[:3])}{more}",
            "python -m cellmesh doctor --clean",
        )
    else:
        yield Finding("ok", "nothing is left over from dead hubs")


def _actors(hub: str) -> str:
    """Each that can be called has its socket there."""
    count = sum(path.is_socket() for path in folders.hub_folder(hub).glob("a*-*"))
    return f"; {count} actor{'s' * (count != 1)}" if count else ""


def _objects(hub: str) -> str:
    found = room.usage(folders.segment_prefix(hub))
    if not found.count:
        return ""
    free = f", {found.free / 1e6:,.1f} MB of it free and kept for the next ones" if found.free else ""
    return (
        f"; {found.count} segment{'s' * (found.count != 1)} in {system.shared_memory_folder()}, "
        f"{found.bytes / 1e6:,.1f} MB{free}"
    )


def main(*, clean: bool = False) -> int:
    """Print every finding; 1 if there is a problem. With `clean`, first remove what dead hubs left."""
    worst = 0
    if clean:
        try:
            removed = folders.sweep()
        except (folders.FolderError, OSError) as error:
            print(Finding("problem", f"could not clean up: {error}"))
            worst = 1
        else:
            for path in removed:
                print(f"removed  {path}")
            if not removed:
                print("removed  nothing: nothing was left over")
    usable = True
    checks: list[Callable[[], Iterator[Finding]]] = [versions, extension, gpus, memory_folder]
    for check in [*checks, runtime_folders, hubs]:
        for finding in check() if usable or check is not hubs else ():
            print(finding)
            if finding.level == "problem":
                worst = 1
                usable = usable and check is not runtime_folders  # else nothing can be said about hubs
    if usable:
        _remove_empty_folders()
    return worst


def _remove_empty_folders() -> None:
    for folder in (folders.runtime_root(), folders.data_root()):
        try:
            folder.rmdir()
        except OSError:
            pass  # in use


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
