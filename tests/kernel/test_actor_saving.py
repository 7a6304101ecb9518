"""`%mesh save` and `%mesh restore`: detached actors in real kernels, beyond the end of their hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Kernel, started

CELL = """
%load_ext cellmesh
import cellmesh as cm
from cellmesh.kernel import attaching

@cm.actor(detached=True, restarts=1)
class Keeper:
    def __init__(self, size):
        self.values = [0] * size
    def add(self, k):
        self.values.append(k)
        return sum(self.values), len(self.values)
    def where(self):
        import os
        return os.getpid()
"""
END_HUB = "import os, signal; os.kill(attaching.current().engine.status().pid, signal.SIGTERM)"


@pytest.fixture
def two(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Kernel, Kernel]]:
    """Two notebooks of one user."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with started("embedded", tmp_path / "first") as first, started("embedded", tmp_path / "second") as second:
        yield first, second


def test_a_saved_actor_comes_back_with_its_state_in_another_hub(two: tuple[Kernel, Kernel]) -> None:
    first, second = two
    first.ok(CELL)
    assert "no detached actor with a name lives" in first.ok("%mesh save").stdout
    first.ok("h = Keeper.start(50_000, name='kept one')")  # its arguments are small, its state is not
    assert first.ok("h.add(5).result()").result == "(5, 50001)"
    assert "saved kept one in " in first.ok("%mesh save").stdout
    assert "lives; %mesh free 'kept one' ends it" in first.run("%mesh restore 'kept one'").stderr
    first.ok("h.add(100).result()")  # after it was saved
    first.ok(END_HUB)
    second.ok("%load_ext cellmesh\nimport cellmesh as cm")
    assert "No actor was saved as" in second.run("%mesh restore nobody").stderr
    assert "restored kept one" in second.ok("%mesh restore").stdout
    assert second.ok("h = cm.get_actor('kept one'); h.add(1).result()").result == "(6, 50002)"
    second.ok("import os, signal; os.kill(h.where().result(), signal.SIGKILL)")
    second.ok("import time\nwhile 'restart 1' not in repr(cm.actors()): time.sleep(0.02)")
    assert second.ok("h.add(1).result()[1] >= 50_002").result == "True"  # what it began with, at least
    assert "has ended" in second.ok("%mesh free 'kept one'").stdout
