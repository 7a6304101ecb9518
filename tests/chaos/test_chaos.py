"""Chaos, short: what `make chaos` does for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import retelling, storm


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [3, 14])
def test_every_result_is_right_and_nothing_is_left(
    seed: int, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    report = storm.run(seed, 10.0, tmp_path)
    assert report.hits.get("kill_worker", 0) > 0
    assert report.checked["submit"] > 0
    assert report.journal is not None
    assert retelling.retell(report.journal) > 100
