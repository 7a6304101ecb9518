"""Notebooks on a real Jupyter server: each test has a runtime folder of its own, counted at its end.

Read next: `../support/server.py`, `../support/leftovers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.server import Server


@pytest.fixture
def server(runtime: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose sessions outlive their kernels by a minute; at the end nothing may be left."""
    environ = {"CELLMESH_GRACE": "60", "CELLMESH_CPUS": "2", **getattr(request, "param", {})}
    root = tmp_path / "notebooks"
    root.mkdir()
    with Server(root, environ=environ) as running:
        yield running
    pids = [process.pid for process in leftovers.processes(runtime)]
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []
