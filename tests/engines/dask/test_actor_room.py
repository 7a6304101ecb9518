"""What an actor asks for is held on a Dask worker that has it; tasks of Dask's do not get it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import DEADLINE, Desk
from distributed import Client, Event
from engines.dask.machines import Machines
from hub.acting import Counter, alive, ask, ended, local, start

from cellmesh.scheduler.engines.dask.engine import DaskEngine
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import TaskWire


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A worker without GPUs, and one with two of them."""
    with Machines(tmp_path_factory.mktemp("room")) as cluster:
        cluster.add("plain", threads=2, CELLMESH_LOGICAL_GPUS="0")
        cluster.add("gpus", "--resources", "GPU=2", CELLMESH_LOGICAL_GPUS="2")
        yield cluster


@pytest.fixture
def client(machines: Machines) -> Client:
    client = machines.client()
    client.wait_for_workers(2, timeout=DEADLINE)
    return client


@pytest.fixture
def desk(client: Client) -> Iterator[Desk]:
    engine = DaskEngine(client)
    yield Desk(engine, "room")
    engine.close(end_session=True)


def waits(desk: Desk, actor: int) -> str:
    """Why it has no host yet, once that is told."""
    found = desk.told.wait(
        lambda: [each.why for each in desk.told.actors(actor) if each.why.startswith("waiting")], "its wait"
    )
    return str(found[-1])


def declared(client: Client, name: str) -> float:
    known = client.sync(client.scheduler.identity, n_workers=-1)["workers"].values()
    return float(next(about["resources"].get("GPU", 0) for about in known if about["name"] == name))


def test_gpus_are_held_where_they_are_declared_until_the_actor_ends(
    desk: Desk, client: Client, machines: Machines
) -> None:
    halves = [start(desk, Counter, gpus=0.5) for _ in range(2)]
    whole = start(desk, Counter, gpus=1)
    assert {len(info.gpus) for info in (*halves, whole)} == {1}
    assert halves[0].gpus == halves[1].gpus != whole.gpus
    assert declared(client, "gpus") == 0
    more = ask(desk, Counter, gpus=0.25)
    assert more.actor is not None
    assert waits(desk, more.actor.id).startswith("waiting for 0.25 GPU, held by an actor of class Counter")
    desk.engine.actors.end(halves[0].id, "was stopped")
    assert alive(desk, more.actor.id).gpus == halves[1].gpus
    for info in (halves[1], whole, more.actor):
        desk.engine.actors.end(info.id, "was stopped")
        ended(desk, info.id)
    assert declared(client, "gpus") == 2


def test_what_no_worker_could_ever_have_fails_at_once(desk: Desk) -> None:
    refusals = {
        "needs 3 GPUs; of the 2 Dask workers none declares more than 2": {"gpus": 3},
        "needs 5 cores; of the 2 Dask workers none has more than 2 threads": {"cpus": 5},
        "needs 1 GPU and 2 cores; of the 2 Dask workers none has all of that": {"gpus": 1, "cpus": 2},
    }
    for why, options in refusals.items():
        assert ask(desk, Counter, **options).why == why
    assert "none has more than" in ask(desk, Counter, memory=1 << 60).why
    assert "a part of one GPU (like 0.5) or whole ones" in ask(desk, Counter, gpus=1.5).why


def test_cores_are_shared_out_too(desk: Desk) -> None:
    first = start(desk, Counter, cpus=2, name="first")
    second = ask(desk, Counter, cpus=2)
    assert second.actor is not None
    assert waits(desk, second.actor.id) == "waiting for 2 cores, held by actor first"
    desk.engine.actors.end(first.id, "was stopped")
    alive(desk, second.actor.id)


def test_dask_and_actors_do_not_get_each_others_gpus(desk: Desk, client: Client) -> None:
    go = Event("go", client=client)

    def hold(name: str) -> str:
        from distributed import Event as There

        There(name).wait(60)
        return "done"

    holds = client.submit(hold, "go", resources={"GPU": 2}, pure=False)
    desk.told.wait(lambda: client.processing() and any(client.processing().values()), "the task")
    info = ask(desk, Counter, gpus=1).actor
    assert info is not None
    assert "Dask's" in waits(desk, info.id)
    later = client.submit(pow, 2, 3, resources={"GPU": 2}, pure=False)
    go.set()
    assert holds.result(DEADLINE) == "done"
    assert local(desk, alive(desk, info.id), "add", 1) == 1
    assert client.submit(pow, 2, 4, resources={"GPU": 1}, pure=False).result(DEADLINE) == 16
    assert later.status == "pending"
    task = TaskWire(0, "call", codec.dumps(((2, 5), {})), [desk.blob(pow)], gpus=2)
    job = desk.launch("submit", [task])
    desk.engine.actors.end(info.id, "was stopped")
    assert later.result(DEADLINE) == 8
    assert desk.told.wait_settled(job, 1) == {0: "done"}, desk.told.whys(job)


def test_what_a_kernel_leaves_without_a_name_frees_its_gpu(
    desk: Desk, client: Client, machines: Machines
) -> None:
    other = DaskEngine(machines.client())
    theirs = Desk(other, "another")
    start(theirs, Counter, gpus=2)
    mine = ask(desk, Counter, gpus=1).actor
    assert mine is not None
    waits(desk, mine.id)
    other.close(end_session=False)
    alive(desk, mine.id)


def test_a_task_of_dasks_that_was_sent_to_a_worker_goes_elsewhere_when_an_actor_takes_its_gpu(
    desk: Desk, client: Client, machines: Machines
) -> None:
    machines.add("more", "--resources", "GPU=1", CELLMESH_LOGICAL_GPUS="1")
    client.wait_for_workers(3, timeout=DEADLINE)
    info = start(desk, Counter, gpus=2)
    assert client.gather(client.map(pow, range(20), [2] * 20, resources={"GPU": 1}, pure=False)) == [
        n**2 for n in range(20)
    ]
    assert info.state == "alive"


def test_actors_can_be_started_by_many_threads_at_once(desk: Desk, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        infos = list(pool.map(lambda first: start(desk, Counter, first), range(4)))
    assert [local(desk, info, "add", 1) for info in infos] == [1, 2, 3, 4]
    with ThreadPoolExecutor(4) as pool:
        same = list(pool.map(lambda _: ask(desk, Counter, name="one"), range(4)))
    assert len({answer.actor.id for answer in same if answer.actor is not None}) == 1
    assert sum(answer.fresh for answer in same) == 1
