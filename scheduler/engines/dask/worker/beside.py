"""The hub beside one Dask worker: cells and actors run under it, as they do on one machine.

Owns its start and its end, and how a notebook's Python translates to this host's. Never talks to it: the
notebook does, through `plugin.py`. Read next: `../../../nursery/start.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil

from cellmesh.scheduler.engines.contract import HubGoneError
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.records import Interpreter

T = TypeVar("T")

ATTEMPTS = 3

_BOUND = (
    "CUDA_VISIBLE_DEVICES",
    "DASK_",
    "DBUS_",
    "DISPLAY",
    "JPY_",
    "JUPYTER",
    "LD_",
    "SLURM_",
    "SSH_",
    "XDG_",
)
"""How names of variables begin that mean something on one host alone."""

_OURS = dict(os.environ), list(sys.path)
"""This process's own: tasks that run in it change both to what their notebook has."""


class Beside:
    """Of one Dask worker. Any thread may ask; a start takes a moment."""

    def __init__(self, worker: str, cores: int, cwd: str, gpus: int = 0) -> None:
        self._name = f"d{os.getpid():x}-{zlib.crc32(worker.encode()):08x}"
        self._environ = {"CELLMESH_CPUS": str(cores)}
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if 0 < gpus < len(seen):  # dask-cuda shows a worker all that there are, its own first
            self._environ["CUDA_VISIBLE_DEVICES"] = ",".join(seen[:gpus])
        self._cwd = cwd
        self._starting = threading.Lock()
        self.begun: Callable[[Path], None] = lambda folder: None  # called with its folder before it is used

    def living(self) -> Path | None:
        """Its folder, if it runs."""
        folder = folders.hub_folder(self._name)
        return (
            folder if folders.is_locked(folder / "lock") and (folder / "connection.json").exists() else None
        )

    def started(self) -> Path:
        """Its folder; starts it if there is none. It ends with its last session, and with this process."""
        with self._starting:
            folder = ensure_hub(self._name, os.getpid(), self._environ)
            self.begun(folder)
            return folder

    def attached(self, attach: Callable[[Path], T]) -> T:
        """What `attach` makes of its folder: it may end between being found and being attached to."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return attach(self.started())
            except HubGoneError:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def end(self) -> None:
        """The Dask worker closes: everything beside it ends."""
        folder = self.living()
        if folder is None:
            return
        try:
            psutil.Process(folders.read_connection(folder).pid).parent().send_signal(signal.SIGTERM)
        except (psutil.Error, AttributeError, folders.FolderError):
            pass  # it is ending by itself

    def holds(self, path: str) -> bool:
        """Whether this socket is the hub's, or one of its actors'."""
        return Path(path).parent == folders.hub_folder(self._name)

    def prefix(self) -> str:
        """How the names of its segments begin."""
        return folders.segment_prefix(self._name)

    def segment(self, name: str) -> bool:
        """Whether this is one of its segments."""
        return name.startswith(self.prefix()) and "/" not in name

    def translated(self, theirs: Interpreter) -> Interpreter:
        """A notebook's Python and surroundings, as far as they make sense on this host."""
        environ, own = _OURS
        paths = [path for path in theirs.path if path not in own and os.path.isdir(path)]
        cwd = theirs.cwd if os.path.isdir(theirs.cwd) else self._cwd
        return Interpreter(sys.executable, _joined(environ, theirs.environ), cwd, [*own, *paths])


def _joined(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """The host's own, and what only the notebook has."""
    return {name: value for name, value in theirs.items() if not name.startswith(_BOUND)} | dict(ours)
