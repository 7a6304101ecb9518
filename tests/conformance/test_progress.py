"""How far a running item is, through every engine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conformance.recording import DEADLINE, Desk

from cellmesh.kernel.tracking import track
from cellmesh.scheduler.wire.messages import Progress

pytestmark = pytest.mark.promise("progress")


def count(total: int) -> int:
    """A task that says how far it is."""
    return sum(1 for _ in track(range(total), label="rows"))


def half_way(folder: str) -> None:
    """Say how far it is, then wait for word."""
    for place in track(range(2), label="halves"):
        Path(folder, f"at{place}").touch()
        while place and not Path(folder, "go").exists():
            time.sleep(0.01)


def said(desk: Desk) -> list[Progress]:
    """What tasks said of how far they are."""
    return [call[1] for call in list(desk.told.calls) if call[0] == "progress"]


def test_the_first_and_the_last_word_come_before_the_end(desk: Desk) -> None:
    job = desk.call(count, 1000)
    words = said(desk)
    assert words[0] == Progress(job, 0, 0, 0, 1000, "rows")
    assert words[-1] == Progress(job, 0, 0, 1000, 1000, "rows")
    assert len(words) < 100
    kinds = [call[0] for call in desk.told.calls if call[0] in ("progress", "settled")]
    assert kinds == ["progress"] * len(words) + ["settled"]


def test_each_item_of_a_chunk_has_its_own(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(count, [3, 5], chunk=2))
    desk.told.wait_settled(job, 1)
    assert {(one.item, one.done) for one in said(desk) if one.done == one.total} == {(0, 3), (1, 5)}


@pytest.mark.promise("background")
def test_who_attaches_is_told_the_latest(desk: Desk, tmp_path: Path) -> None:
    task = desk.map_tasks(half_way, [str(tmp_path)], chunk=1)
    job = desk.launch("map", task)
    desk.told.wait(lambda: said(desk), "word of the task")
    deadline = time.monotonic() + DEADLINE
    while not (tmp_path / "at1").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    before = len(said(desk))
    desk.engine.attach_job(job)
    desk.told.wait(lambda: len(said(desk)) > before, "word again")
    assert said(desk)[-1].text == "halves"
    (tmp_path / "go").touch()
    desk.told.wait_settled(job, 1)
