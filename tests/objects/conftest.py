"""A maker of segments in this process, as a kernel or worker has it, and what it leaves in the folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash.conftest import mesh as mesh
from crash.killing import Mesh

from cellmesh.scheduler.objects import makers, segments
from cellmesh.scheduler.wire import folders, system


@pytest.fixture
def prefix(runtime: Path, tmp_path: Path) -> Iterator[str]:
    """Under this prefix the process may make segments."""
    name = folders.segment_prefix(f"test{os.getpid()}") + "c1-"
    makers.open_maker(name, tmp_path / "objects")
    yield name
    makers.close_maker(name)
    for path in system.shared_memory_folder().glob(name + "*"):
        segments.unlink(path.name)


@pytest.fixture
def there(prefix: str) -> Callable[[], list[str]]:
    """The names of the segments that are there now."""

    def look() -> list[str]:
        return sorted(path.name for path in system.shared_memory_folder().glob(prefix + "*"))

    return look


@pytest.fixture
def segments_of(mesh: Mesh) -> Callable[[], list[str]]:
    """The names of all segments of the mesh's hub, those included that are free to be written again."""
    prefix = folders.segment_prefix(mesh.folder.name)
    folder = system.shared_memory_folder()
    return lambda: sorted(path.name for path in folder.glob(prefix + "*"))
