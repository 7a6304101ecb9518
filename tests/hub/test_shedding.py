"""The tail of a map on real workers: nobody idles while another one sits on a heap of items."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk
from crash.killing import reached, until
from hub import inside

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub

ITEMS = 40


@pytest.fixture
def desk(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    opened = Desk(EmbeddedEngine(ensure_hub(f"test-{uuid.uuid4().hex[:6]}")))
    yield opened
    opened.engine.close(end_session=True)


def launch(desk: Desk, folder: Path) -> int:
    """A map in one chunk whose first item ends only when all the others have run."""
    values = [(str(folder), number, ITEMS) for number in range(ITEMS)]
    return desk.launch("map", desk.map_tasks(inside.wait_for_the_others, values, ITEMS, retries=1))


def test_a_long_item_keeps_no_other_from_running(desk: Desk, tmp_path: Path) -> None:
    job = launch(desk, tmp_path)
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    pids = desk.told.values(job)
    assert len(pids) == ITEMS
    first = pids.pop((0, 0))
    assert first not in pids.values()


def test_a_piece_goes_back_when_its_worker_dies_and_a_hub_that_dies_forgets_none(
    desk: Desk, tmp_path: Path
) -> None:
    job = launch(desk, tmp_path)
    reached(tmp_path / str(ITEMS - 1))
    (helper,) = {int((tmp_path / str(ITEMS - 1)).read_text())}
    os.kill(helper, signal.SIGKILL)
    os.kill(desk.engine.status().pid, signal.SIGKILL)
    assert desk.told.wait_settled(job, 1) == {0: "done"}
    assert len(desk.told.values(job)) == ITEMS


def test_cancel_ends_all_pieces(desk: Desk, tmp_path: Path) -> None:
    values = [(str(tmp_path), number, ITEMS + 1) for number in range(ITEMS)]  # one more than ever comes
    job = desk.launch("map", desk.map_tasks(inside.wait_for_the_others, values, ITEMS))
    reached(tmp_path / str(ITEMS - 1))
    desk.engine.cancel(job)
    assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    until(lambda: desk.engine.status().slots_used == 0, "free slots")
