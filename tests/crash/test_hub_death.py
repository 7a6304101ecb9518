"""kill -9 for the hub: it comes back, nothing is lost, nothing comes twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk
from crash.killing import Mesh, kill, reached, until

import cellmesh as cm
from cellmesh.scheduler.engines.embedded import EmbeddedEngine


@pytest.fixture
def desk(mesh: Mesh) -> Iterator[Desk]:
    """A second client of the same hub, which notices what comes twice."""
    opened = Desk(EmbeddedEngine(mesh.folder))
    yield opened
    opened.engine.close(end_session=True)


def square(x: int) -> int:
    return x * x


def test_ten_thousand_tasks_of_two_clients_outlive_the_hub(mesh: Mesh, desk: Desk) -> None:
    (before,) = desk.mesh(1)
    desk.cell("kept = 41")
    theirs = desk.launch("map", desk.map_tasks(square, range(4000), 1, retries=2))
    futures = [cm.submit(square, x) for x in range(3000)]
    mapped = cm.map(square, range(3000))
    desk.told.wait(lambda: len(desk.told.states(theirs)) > 50, "first results")
    for _ in range(3):
        mesh.kill_hub()
    assert [future.result(60) for future in futures] == [x * x for x in range(3000)]
    assert mapped.result(60) == [x * x for x in range(3000)]
    assert set(desk.told.wait_settled(theirs, 4000).values()) == {"done"}
    assert {task: value for (task, _), value in desk.told.values(theirs).items()} == {
        x: x * x for x in range(4000)
    }
    assert desk.value(desk.cell("kept + 1")) == 42
    (after,) = desk.told.mesh()
    assert (after.id, after.pid) == (before.id, before.pid)


def test_a_running_task_does_not_notice(mesh: Mesh, tmp_path: Path) -> None:
    def wait_and_count(folder: Path) -> int:
        import time

        with (folder / "runs").open("a") as file:
            file.write("x")
        (folder / "began").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
        return len((folder / "runs").read_text())

    future = cm.submit(wait_and_count, tmp_path)
    reached(tmp_path / "began")
    mesh.kill_hub()
    mesh.kill_hub()
    (tmp_path / "go").touch()
    assert future.result(30) == 1


def test_workers_that_die_with_the_hub_are_missed(mesh: Mesh, tmp_path: Path) -> None:
    def once(folder: Path) -> str:
        import time

        if not (folder / "began").exists():
            (folder / "began").touch()
            time.sleep(1000)
        return "again"

    future = cm.submit(once, tmp_path)
    reached(tmp_path / "began")
    (worker,) = mesh.anonymous()
    hub = mesh.hub()
    kill(hub)
    kill(worker)
    assert future.result(30) == "again"


def test_what_is_cancelled_around_the_death_stays_cancelled(mesh: Mesh, tmp_path: Path) -> None:
    def wait(folder: Path, x: int) -> None:
        import time

        (folder / f"{x}").touch()
        time.sleep(1000)

    running = [cm.submit(wait, tmp_path, x) for x in range(2)]
    queued = [cm.submit(wait, tmp_path, x) for x in range(2, 20)]
    reached(tmp_path / "0")
    reached(tmp_path / "1")
    for future in queued[:9]:
        future.cancel()
    mesh.kill_hub()
    for future in [*running, *queued]:
        future.cancel()
    assert cm.submit(square, 3).result(30) == 9
    until(lambda: all(job.finished for job in cm.jobs()), "the end of all jobs")
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}


def test_large_results_and_arguments_are_still_there(mesh: Mesh) -> None:
    data = bytes(range(256)) * 4000
    kept = cm.put(data)
    first = cm.submit(bytes.upper, kept)
    until(first.done, "the first result")
    mesh.kill_hub()
    assert first.result(30) == data.upper()
    assert cm.submit(len, kept).result(30) == len(data)
    del kept


class Counter:
    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n


def test_actors_and_their_callers_do_not_notice(mesh: Mesh) -> None:
    counter = cm.actor(name="counter", restarts=1)(Counter).start()
    assert counter.add().result(30) == 1
    values = []
    for _ in range(3):
        kill(mesh.hub())
        values += [future.result(30) for future in [counter.add() for _ in range(200)]]
        until(lambda: cm.get_actor("counter"), "word of the actor")
    assert values == list(range(2, 602))
    (found,) = mesh.session().engine.actors.all()
    assert (found.state, found.incarnation) == ("alive", 1)
    started = cm.actor(Counter).start()  # by the new hub
    assert started.add().result(30) == 1


def test_a_hub_that_stays_away_is_told(mesh: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    assert cm.submit(square, 3).result(30) == 9
    nursery, said = mesh.nursery(), ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "the hub is away" in said

    kill(nursery, signal.SIGSTOP)  # it cannot start another one
    try:
        kill(mesh.hub())
        until(told, "word that the hub is away")
    finally:
        kill(nursery, signal.SIGCONT)
    assert cm.submit(square, 4).result(30) == 16
    assert said.count("the hub is away") == 1
