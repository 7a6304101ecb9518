"""A cluster whose every way is encrypted: all works, and nobody without its certificates comes in."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from conformance.recording import Desk
from distributed import LocalCluster
from distributed.security import Security
from hub.acting import Counter, local, start

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.connecting import engine_on


@pytest.fixture(scope="module")
def keys() -> Security:
    """Certificates made for this run alone, without which nobody is spoken to."""
    made = Security.temporary()
    assert made.require_encryption
    return made


@pytest.fixture(scope="module")
def address(keys: Security) -> Iterator[str]:
    """Of a scheduler with one worker."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, protocol="tls://", security=keys, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def asleep() -> None:
    print("begun", flush=True)
    while True:
        time.sleep(0.01)


def test_maps_cells_actors_and_stop_work_over_tls(address: str, keys: Security) -> None:
    assert address.startswith("tls://")
    desk = Desk(engine_on(address, security=keys), "tls")
    try:
        squares = desk.launch("map", desk.map_tasks(lambda x: x * x, range(6), 2))
        desk.told.wait_settled(squares, 3)
        assert [value for _, value in sorted(desk.told.values(squares).items())] == [0, 1, 4, 9, 16, 25]
        large = desk.call(lambda: b"x" * 1_000_000)
        assert desk.value(large) == b"x" * 1_000_000
        desk.mesh(1)
        assert desk.value(desk.cell("kept = 41\nkept + 1")) == 42
        counter = start(desk, Counter, 5)
        assert local(desk, counter, "add", 1) == 6
        task = desk.map_tasks(lambda _: asleep(), [0], 1)
        job = desk.launch("map", task)
        desk.told.wait(lambda: desk.told.outputs(job), "its beginning")
        desk.engine.cancel(job)
        assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    finally:
        desk.engine.close(end_session=True)


def test_who_has_no_certificates_is_refused_in_words(address: str) -> None:
    with pytest.raises(EngineError, match=r"tls:// needs security=Security"):
        engine_on(address)
    with pytest.raises(EngineError, match="No Dask scheduler answers at tls://"):
        engine_on(address, security=Security.temporary())
    with pytest.raises(EngineError, match=r"(no|No) Dask scheduler"):
        engine_on(address.replace("tls://", "tcp://"))
