"""Names of actors are a cluster's: two notebooks on it, a kernel that comes back, threads at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conformance.recording import DEADLINE, Desk
from distributed import Client
from engines.dask.machines import Machines
from hub.acting import Counter, alive, ask, ended, local, start

import cellmesh as cm
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.engine import DaskEngine


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with Machines(tmp_path_factory.mktemp("names")) as cluster:
        for name in ("a", "b"):
            cluster.add(name)
        yield cluster


def client_of(machines: Machines) -> Client:
    client = machines.client()
    client.wait_for_workers(2, timeout=DEADLINE)
    return client


@pytest.fixture
def notebooks(machines: Machines) -> Iterator[list[Desk]]:
    """Two, each with a client of its own."""
    desks = [Desk(DaskEngine(client_of(machines)), name, 600) for name in ("one", "two")]
    yield desks
    for desk in desks:
        desk.engine.close(end_session=True)


def test_two_notebooks_that_start_a_name_at_once_get_one_actor(notebooks: list[Desk]) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: ask(notebooks[n % 2], Counter, 5, name="llm", detached=True), range(8))
        )
    (actor,) = {answer.actor.id for answer in answers if answer.actor is not None}
    assert sum(answer.fresh for answer in answers) == 1
    assert [local(desk, alive(desk, actor), "add", 1) for desk in notebooks] == [6, 7]
    differs = ask(notebooks[1], Counter, 7, name="llm", same="2", detached=True)
    assert "lives already" in differs.why
    for desk in notebooks:
        (info,) = desk.engine.actors.all()
        assert (info.id, info.starter) == (actor, "one") or info.starter == "two"
        assert info.host
    notebooks[1].engine.actors.end(actor, "was stopped")
    assert ended(notebooks[0], actor).why.startswith("was stopped")
    assert notebooks[0].engine.actors.find("llm").why.startswith('The actor "llm" was stopped')


def test_a_name_belongs_to_a_session_unless_it_is_detached(notebooks: list[Desk]) -> None:
    mine, theirs = (start(desk, Counter, n, name="own") for n, desk in enumerate(notebooks))
    assert mine.id != theirs.id
    assert [info.id for info in notebooks[0].engine.actors.all()] == [mine.id]
    start(notebooks[0], Counter, name="only")
    why = notebooks[1].engine.actors.find("only").why
    assert why == (
        'The actor "only" lives in another session, of one, and only there. Start it with detached=True for '
        "all your notebooks to find it."
    )


def test_detached_ones_outlive_their_session_and_its_client(machines: Machines) -> None:
    client = client_of(machines)
    first = Desk(DaskEngine(client), "first")
    info = start(first, Counter, 5, name="stays", detached=True)
    local(first, info, "add", 1)
    gone = start(first, Counter, name="goes")
    first.engine.close(end_session=True)
    client.close()
    second = Desk(DaskEngine(client_of(machines)), "second")
    found = second.engine.actors.find("stays").actor
    assert found is not None
    assert local(second, alive(second, found.id) if found.state != "alive" else found, "add", 1) == 7
    assert second.engine.actors.find("", gone.id).actor is not None
    second.told.wait(lambda: [each.name for each in second.engine.actors.all()] == ["stays"], "the one")
    second.engine.actors.end(found.id, "was stopped")
    second.engine.close(end_session=True)


def test_a_kernel_that_comes_back_finds_its_named_actors_alone(machines: Machines) -> None:
    client = client_of(machines)
    before = Desk(DaskEngine(client), "a kernel", 600)
    named, unnamed = start(before, Counter, 5, name="llm"), start(before, Counter)
    local(before, named, "add", 1)
    before.engine.close(end_session=False)
    client.close()
    after = Desk(DaskEngine(client_of(machines)), "a kernel", 600)
    again = ask(after, Counter, 5, name="llm")
    assert again.actor is not None
    assert (again.fresh, again.actor.id) == (False, named.id)
    assert local(after, again.actor, "add", 1) == 7
    assert "ended with its kernel" in ended_or_told(after, unnamed.id)
    after.engine.close(end_session=True)


def ended_or_told(desk: Desk, actor: int) -> str:
    """Why it is no more."""
    desk.engine.actors.follow(actor)
    return str(ended(desk, actor).why)


def test_four_threads_start_actors_of_a_class_at_once(machines: Machines) -> None:
    cm.connect("dask", client_of(machines))

    @cm.actor
    class Sum:
        def __init__(self, first: int) -> None:
            self.value = first

        def add(self, more: int) -> int:
            self.value += more
            return self.value

    with ThreadPoolExecutor(4) as pool:
        handles: list[Any] = list(pool.map(Sum.start, range(4)))
    assert [handle.add(1).result(DEADLINE) for handle in handles] == [1, 2, 3, 4]
    with pytest.raises(EngineError, match="No actor named"):
        cm.get_actor("nobody")
    shown = str(cm.actors())
    assert " on " in shown
    cm.connect("inline")
