"""The numbered workers and what is told of them, on every engine."""

from __future__ import annotations

import pytest
from conformance.recording import Desk

pytestmark = pytest.mark.promise("mesh")


def test_status_shows_the_mesh_and_the_jobs(desk: Desk) -> None:
    desk.mesh(2)
    desk.cell("x = 1", worker=1)
    job = desk.launch("map", desk.map_tasks(abs, [-1, "no"], 2), background=True)
    desk.told.wait_settled(job, 1)
    (session,) = desk.engine.status().sessions
    assert session.attached
    assert [(w.number, w.names) for w in session.mesh] == [(0, []), (1, ["x"])]
    info = {j.id: j for j in session.jobs}[job]
    assert (info.items, info.done, info.failed, info.running) == (2, 1, 1, 0)
    assert info.finished
    assert info.background


def test_the_mesh_grows_and_shrinks(desk: Desk) -> None:
    first = {w.number: w.id for w in desk.mesh(2)}
    desk.cell("x = 1", worker=0)
    desk.mesh(1)
    grown = {w.number: w.id for w in desk.mesh(2)}
    assert grown[0] == first[0]
    assert grown[1] != first[1]
    assert desk.value(desk.cell("x", worker=0)) == 1


def test_reset_gives_a_fresh_mesh(desk: Desk) -> None:
    before = desk.mesh(1)[0].id
    desk.cell("x = 1")
    desk.engine.reset()
    desk.told.wait(lambda: [w.id for w in desk.told.mesh()] not in ([], [before]), "fresh worker")
    desk.mesh(1)
    assert desk.value(desk.cell("'x' in globals()")) is False


def test_setup_cells_run_on_new_workers(desk: Desk) -> None:
    desk.mesh(1)
    desk.cell("ready = 'yes'", setup=True)
    desk.mesh(2)
    assert desk.value(desk.cell("ready", worker=1)) == "yes"
