"""Copies of what an actor goes on from, where they outlive its host: with another Dask worker, or in a place
that all hosts reach.

Owns their form (an archive of the actor's home) and how they get from one place to another, whole or not at
all. Never decides when, or where: `lodging.py` and `scheduler/registry.py` do.
"""

from __future__ import annotations

import tarfile
import uuid
from pathlib import Path
from typing import Any

from distributed.comm import connect

from cellmesh.scheduler.engines.contract import EngineError

CHUNK = 4 << 20

_PASSING = (".new", "unmarked")


def pack(home: Path, archive: Path, *, alone: bool) -> None:
    """All that is in the home, whose process has ended; `alone`: the checkpoint, as it is at any time."""
    with tarfile.open(archive, "w") as tar:
        for path in sorted(home.iterdir()):
            if path.name == "checkpoint" or not (alone or path.name.endswith(_PASSING)):
                tar.add(path, path.name, recursive=False)


def unpack(archive: Path, home: Path) -> None:
    """Into the home of the next life."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        tar.extractall(home, filter="data")


# --- with another Dask worker ----------------------------------------------------------------------


async def send(archive: Path, comm: Any) -> None:
    """What is in the file, piece by piece; an empty one is the last."""
    with archive.open("rb") as file:
        while piece := file.read(CHUNK):
            await comm.write(piece)
    await comm.write(b"")


async def receive(comm: Any, archive: Path) -> None:
    """The other end."""
    fresh = archive.with_name(f"{archive.name}-{uuid.uuid4().hex[:8]}")
    try:
        with fresh.open("wb") as file:
            while piece := await comm.read():
                file.write(piece)
        fresh.replace(archive)
    finally:
        fresh.unlink(missing_ok=True)


async def opened(worker: Any, address: str) -> Any:
    """A comm from this Dask worker to that one."""
    return await connect(address, timeout=5.0, **worker.security.get_connection_args("worker"))


# --- in a place that all hosts reach ---------------------------------------------------------------


class Place:
    """A folder, or whatever fsspec knows by a URL. Its methods wait."""

    def __init__(self, url: str) -> None:
        import fsspec  # type: ignore[import-untyped]

        try:
            self._system, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise EngineError(
                f"Checkpoints cannot be kept at {url}: {error}. Name a folder that all hosts see, or a URL "
                "that fsspec knows (file://, s3://, gs://, ...) and whose package is installed everywhere."
            ) from None

    def put(self, archive: Path, name: str) -> None:
        """Have it there under this name, in place of what was."""
        self._system.makedirs(self._root, exist_ok=True)
        fresh = self._path(f".{name}-{uuid.uuid4().hex[:8]}")
        try:
            self._system.put_file(str(archive), fresh)
            self._system.mv(fresh, self._path(name))
        except BaseException:
            self._drop(fresh)
            raise

    def get(self, name: str, archive: Path) -> None:
        """Bring it here."""
        self._system.get_file(self._path(name), str(archive))

    def drop(self, name: str) -> None:
        """It is not needed any more."""
        self._drop(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _drop(self, path: str) -> None:
        if self._system.exists(path):
            self._system.rm_file(path)


def check(url: str) -> None:
    """A place that can be one for many hosts, for `cm.connect`; raises EngineError."""
    if url.startswith(("memory:", "local-memory:")):
        raise EngineError(
            f"Checkpoints cannot be kept at {url}: that is the memory of one process, and is lost with it. "
            "Name a folder that all hosts see, or a URL of a store that they reach."
        )
    if "://" not in url and not url.startswith("/"):
        raise EngineError(
            f"checkpoints={url!r}: name the whole path of a folder that all hosts see, or a URL."
        )
    Place(url)
