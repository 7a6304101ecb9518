"""Real hubs, workers and kernels that die. Each test has a hub of its own, and nothing of it may be left.

Read next: `README.md` (which failure is tested where), `killing.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.killing import Mesh

import cellmesh as cm
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub
from tests.support import leftovers


@pytest.fixture
def mesh(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    """A hub with two cores, and this process attached to it; at the end nothing may be left."""
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    mesh = Mesh(ensure_hub(f"crash-{uuid.uuid4().hex[:6]}"))
    cm.connect(EmbeddedEngine(mesh.folder))
    yield mesh
    pids = [process.pid for process in leftovers.processes(runtime)]
    mesh.session().close(end_session=True)
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []
