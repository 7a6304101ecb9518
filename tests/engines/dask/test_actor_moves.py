"""An actor whose Dask worker is lost or closes goes on beside another, from its last checkpoint."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.recording import DEADLINE, Desk
from distributed import Client
from engines.dask.machines import Machines
from hub.acting import Counter, alive, ask, ended, local, start

import cellmesh as cm
from cellmesh.kernel import attaching
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.between.lodge import Copy
from cellmesh.scheduler.engines.dask.engine import DaskEngine
from cellmesh.scheduler.wire.actors import ActorInfo


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with Machines(tmp_path) as cluster:
        for name in ("a", "b", "c"):
            cluster.add(name)
        yield cluster


@pytest.fixture
def client(machines: Machines) -> Client:
    client = machines.client()
    client.wait_for_workers(3, timeout=DEADLINE)
    return client


def worker_of(client: Client, actor: int) -> str:
    """The address of the Dask worker beside which it lives."""

    def look(dask_scheduler: Any, actor: int) -> str:
        (registry,) = (
            each for name, each in dask_scheduler.plugins.items() if name.startswith("cellmesh-registry")
        )
        return str(registry.book.living[actor].worker)

    return str(client.run_on_scheduler(look, actor=actor))


def copy_of(client: Client, actor: int) -> Copy | None:
    """What it would go on from."""

    def look(dask_scheduler: Any, actor: int) -> Any:
        (registry,) = (
            each for name, each in dask_scheduler.plugins.items() if name.startswith("cellmesh-registry")
        )
        return registry.book.living[actor].copy

    found: Copy | None = client.run_on_scheduler(look, actor=actor)
    return found


def kill(client: Client, machines: Machines, actor: int, how: int = signal.SIGKILL) -> None:
    machines.workers[machines.name(client, worker_of(client, actor))].send_signal(how)


def saved(desk: Desk, client: Client, info: ActorInfo, wait: Callable[[Callable[[], Any]], Any]) -> Copy:
    """Have its state written down, and copied."""
    local(desk, info, "", kind="save")
    found: Copy = wait(lambda: copy_of(client, info.id))
    return found


def polled(ready: Callable[[], Any]) -> Any:
    """What it answers, once that is true. Nobody tells a test what the scheduler knows."""
    import time

    end = time.monotonic() + DEADLINE
    while not (found := ready()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def again(desk: Desk, info: ActorInfo) -> ActorInfo:
    return alive(desk, info.id, info.incarnation + 1)


@pytest.mark.parametrize("place", ["", "folder", "url"])
def test_a_lost_host_costs_a_restart_and_nothing_of_the_last_checkpoint(
    machines: Machines, client: Client, tmp_path: Path, place: str
) -> None:
    shared = tmp_path / "shared"
    where = {"": "", "folder": str(shared), "url": f"file://{shared}"}[place]
    engine = DaskEngine(client, checkpoints=where)
    desk = Desk(engine, "a lost host")
    info = start(desk, Counter, 5, name="llm", restarts=2)
    assert local(desk, info, "add", 1) == 6
    copy = saved(desk, client, info, polled)
    assert bool(copy.place) == bool(place)
    if place:
        assert [path.name for path in shared.iterdir()] == [copy.name]
    kill(client, machines, info.id)
    second = again(desk, info)
    assert local(desk, second, "add", 1) == 7
    assert any(call[0] == "notice" and "restarts on another" in call[1] for call in desk.told.calls)
    polled(lambda: (found := copy_of(client, info.id)) is not None and found.name != copy.name)
    kill(client, machines, info.id)
    third = again(desk, second)
    assert local(desk, third, "add", 1) == 8
    kill(client, machines, info.id)
    assert "was lost: its host" in ended(desk, info.id).why
    engine.close(end_session=True)


def test_a_checkpoint_in_a_shared_folder_goes_with_the_actor(
    machines: Machines, client: Client, tmp_path: Path
) -> None:
    engine = DaskEngine(client, checkpoints=str(tmp_path / "shared"))
    desk = Desk(engine, "a folder")
    info = start(desk, Counter, restarts=1)
    saved(desk, client, info, polled)
    desk.engine.actors.end(info.id, "was stopped")
    ended(desk, info.id)
    polled(lambda: not list((tmp_path / "shared").iterdir()))
    engine.close(end_session=True)


def test_a_place_that_is_named_later_holds_for_the_actors_that_there_are(
    machines: Machines, client: Client, tmp_path: Path
) -> None:
    first = machines.client()
    engine = DaskEngine(first)
    desk = Desk(engine, "named later", 600)
    info = start(desk, Counter, 5, name="llm", restarts=1)
    local(desk, info, "add", 1)
    saved(desk, client, info, polled)
    engine.close(end_session=False)
    first.close()
    back = DaskEngine(client, checkpoints=str(tmp_path / "shared"))
    returned = Desk(back, "named later", 600)
    found = ask(returned, Counter, 5, name="llm", restarts=1)
    assert found.actor is not None
    polled(lambda: (copy := copy_of(client, info.id)) is not None and copy.place)
    for worker in machines.workers.values():
        worker.kill()
    machines.add("d")
    assert local(returned, alive(returned, info.id, info.incarnation + 1), "add", 1) == 7
    back.close(end_session=True)


def test_all_copies_may_be_lost_and_that_is_told(machines: Machines, client: Client) -> None:
    engine = DaskEngine(client)
    desk = Desk(engine, "all is lost")
    info = start(desk, Counter, 5, restarts=1)
    local(desk, info, "add", 1)
    saved(desk, client, info, polled)
    for worker in machines.workers.values():
        worker.kill()
    machines.add("d")
    assert local(desk, again(desk, info), "add", 1) == 6
    told = " ".join(call[1] for call in desk.told.calls if call[0] == "notice")
    assert "no copy of its checkpoint is left" in told
    assert "had no checkpoint" not in told
    engine.close(end_session=True)


def test_without_a_checkpoint_it_begins_anew_and_that_is_told(machines: Machines, client: Client) -> None:
    engine = DaskEngine(client)
    desk = Desk(engine, "nothing kept")
    info = start(desk, Counter, 5, restarts=1, checkpoint=False)
    local(desk, info, "add", 1)
    kill(client, machines, info.id)
    assert local(desk, again(desk, info), "add", 0) == 5
    assert any(call[0] == "notice" and "it had no checkpoint yet" in call[1] for call in desk.told.calls)
    engine.close(end_session=True)


@pytest.mark.parametrize("how", ["retired", "terminated"])
def test_a_worker_that_closes_is_left_with_the_state_of_this_moment(
    machines: Machines, client: Client, how: str
) -> None:
    cm.connect("dask", client)

    @cm.actor(restarts=1)
    class Sum:
        def __init__(self) -> None:
            self.value = 0

        def add(self, more: int) -> tuple[int, int]:
            self.value += more
            return self.value, os.getpid()

    counter = Sum.start(name="sum")
    results = [counter.add(1).result(DEADLINE) for _ in range(20)]
    info = attaching.current().engine.actors.find("sum").actor
    assert info is not None
    if how == "retired":
        client.retire_workers([worker_of(client, info.id)])
    else:
        kill(client, machines, info.id, signal.SIGTERM)
    results += [counter.add(1).result(DEADLINE) for _ in range(20)]
    assert [value for value, _ in results] == list(range(1, 41))
    assert len({pid for _, pid in results}) == 2
    cm.connect("inline")


def test_a_cluster_that_shrinks_keeps_the_workers_of_actors(machines: Machines, client: Client) -> None:
    engine = DaskEngine(client)
    desk = Desk(engine, "shrinking")
    info = start(desk, Counter)

    def shrink(dask_scheduler: Any) -> list[str]:
        return list(dask_scheduler.workers_to_close(n=3))

    closing = client.run_on_scheduler(shrink)
    assert len(closing) == 2
    assert worker_of(client, info.id) not in closing
    engine.close(end_session=True)


def test_calls_under_way_run_once_or_fail(machines: Machines, client: Client) -> None:
    cm.connect("dask", client)

    @cm.actor(restarts=1)
    class Slow:
        def wait(self) -> None:
            import time

            time.sleep(60)

        @cm.method(retry=True)
        def pid(self) -> int:
            return os.getpid()

    slow = Slow.start(name="slow")
    before = slow.pid().result(DEADLINE)
    running, behind = slow.wait(), slow.pid()
    info = attaching.current().engine.actors.find("slow").actor
    assert info is not None
    kill(client, machines, info.id)
    with pytest.raises(cm.ActorDied):
        running.result(DEADLINE)
    assert behind.result(DEADLINE) != before
    cm.connect("inline")


def test_the_copy_moves_when_its_keeper_is_lost(machines: Machines, client: Client) -> None:
    engine = DaskEngine(client)
    desk = Desk(engine, "a lost copy")
    info = start(desk, Counter, 5, restarts=1)
    local(desk, info, "add", 1)
    copy = saved(desk, client, info, polled)
    machines.workers[machines.name(client, copy.address)].kill()
    polled(lambda: (found := copy_of(client, info.id)) is not None and found.address != copy.address)
    kill(client, machines, info.id)
    assert local(desk, again(desk, info), "add", 1) == 7
    engine.close(end_session=True)


def test_it_goes_on_while_its_notebook_is_away(machines: Machines, client: Client) -> None:
    first = machines.client()
    engine = DaskEngine(first)
    desk = Desk(engine, "away", 600)
    info = start(desk, Counter, 5, name="llm", restarts=1)
    local(desk, info, "add", 1)
    saved(desk, client, info, polled)
    engine.close(end_session=False)
    first.close()
    before = worker_of(client, info.id)
    kill(client, machines, info.id)
    polled(lambda: worker_of(client, info.id) not in ("", before))
    back = DaskEngine(machines.client())
    returned = Desk(back, "away", 600)
    found = ask(returned, Counter, 5, name="llm", restarts=1)
    assert found.actor is not None
    assert not found.fresh
    assert local(returned, alive(returned, info.id, info.incarnation + 1), "add", 1) == 7
    back.close(end_session=True)


def test_memory_is_no_place_for_checkpoints(machines: Machines, client: Client) -> None:
    with pytest.raises(EngineError, match="memory of one process"):
        cm.connect("dask", client, checkpoints="memory://here")
    with pytest.raises(EngineError, match="whole path"):
        cm.connect("dask", client, checkpoints="here")
    with pytest.raises(EngineError, match="nosuch"):
        cm.connect("dask", client, checkpoints="nosuch://here")
