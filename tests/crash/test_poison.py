"""One item or call that kills every worker it meets, among many that travel with it."""

from __future__ import annotations

import os

import pytest
from crash.killing import Mesh

import cellmesh as cm

POISON = 437
MANY = 2000  # far more than travel alone


def deadly(x: int) -> int:
    if x == POISON:
        os._exit(3)
    return x


def test_the_neighbours_in_a_chunk_of_a_map_live(mesh: Mesh) -> None:
    with pytest.raises(cm.WorkerLost) as lost:
        cm.map(deadly, range(MANY)).result()
    results = lost.value.results  # type: ignore[attr-defined]
    assert [x for x, value in enumerate(results) if value is lost.value] == [POISON]
    assert [value for value in results if value is not lost.value] == [x for x in range(MANY) if x != POISON]
    assert f"item {POISON}: {POISON}" in " ".join(lost.value.__notes__)


def test_the_neighbours_in_a_bundle_of_submits_live(mesh: Mesh) -> None:
    for future in [cm.submit(deadly, x) for x in range(300)]:  # now they are known to be short
        assert future.result() >= 0
    futures = [cm.submit(deadly, x) for x in range(MANY)]
    with pytest.raises(cm.WorkerLost):
        futures[POISON].result()
    assert [x for x, future in enumerate(futures) if future.exception() is not None] == [POISON]
    assert [future.result() for x, future in enumerate(futures) if x != POISON] == [
        x for x in range(MANY) if x != POISON
    ]


def test_the_neighbours_of_a_cancelled_call_are_done(mesh: Mesh) -> None:
    for future in [cm.submit(abs, -x) for x in range(MANY)]:  # now they are known to be short
        future.result()
    futures = [cm.submit(abs, -x) for x in range(MANY)]
    for future in futures[::3]:
        future.cancel()
    assert all(future.result() == x for x, future in enumerate(futures) if not future.cancelled())
    assert all(not future.cancelled() for x, future in enumerate(futures) if x % 3)
