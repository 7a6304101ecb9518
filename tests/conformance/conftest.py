"""The engines under the one suite.

Owns how to make each. A test names the promise that it shows; an engine that does not make it skips the test
by name. Read next: `promises.py`.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from conformance.promises import NOT_PROMISED, PAGE_TEST, PROMISES, SHOWS, Seen
from conformance.recording import Desk

from cellmesh.scheduler.engines.contract import Engine
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.engines.inline import InlineEngine
from cellmesh.scheduler.nursery.start import ensure_hub


def _inline(promise: str) -> AbstractContextManager[Engine]:
    return nullcontext(InlineEngine())


@contextmanager
def _embedded(promise: str) -> Iterator[Engine]:
    """A hub of its own for each test, which ends with the session of the test."""
    os.environ["CELLMESH_CPUS"] = "2"
    yield EmbeddedEngine(ensure_hub(f"conformance-{uuid.uuid4().hex[:8]}"))


@contextmanager
def _dask(promise: str) -> Iterator[Engine]:
    """A client of its own for each test, on the one cluster; slots are counted within each of its workers."""
    from distributed import Client

    from cellmesh.scheduler.engines.dask.engine import DaskEngine

    workers, threads = (1, 2) if promise == "slots" else (2, 1)
    with Client(_cluster(workers, threads), set_as_default=False) as client:
        yield DaskEngine(client)


@functools.cache
def _cluster(workers: int, threads: int) -> Any:
    """Each worker is a process of its own; it is kept for the module's other tests."""
    import dask
    from distributed import LocalCluster

    # Else Dask sets OMP_NUM_THREADS=1 in this process with each worker, and our own workers would heed that.
    with dask.config.set({"distributed.nanny.pre-spawn-environ": {}}):
        cluster = LocalCluster(workers, threads_per_worker=threads, processes=True, dashboard_address=":0")
    _at_the_end.append(cluster.close)
    return cluster


_at_the_end: list[Callable[[], object]] = []


@pytest.fixture(scope="module", autouse=True)
def no_cluster_is_left() -> Iterator[None]:
    """One for each module: other tests find none."""
    yield
    while _at_the_end:
        _at_the_end.pop()()
    _cluster.cache_clear()


ENGINES: dict[str, Callable[[str], AbstractContextManager[Engine]]] = {
    "dask": _dask,
    "embedded": _embedded,
    "inline": _inline,
}
"""How to make each engine, for a test of this promise; leaving the context frees whatever it started."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-promises", action="store_true", help="write what each engine promises into docs/engines.md"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(name): the promise of an engine that this test shows")
    config.pluginmanager.register(Seen(Path(__file__).parent), "promises")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The page is compared when everything else has run."""
    items.sort(key=lambda item: item.path == PAGE_TEST)


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name = request.param
    marker = request.node.get_closest_marker("promise")
    assert marker is not None, "each test of the suite shows a promise (promises.py)"
    (promise,) = marker.args
    assert promise in PROMISES
    request.node.user_properties.append((SHOWS, (promise, name)))
    if promise in NOT_PROMISED[name]:
        pytest.skip(f"the {name} engine does not promise {promise}")
    with ENGINES[name](promise) as made:
        yield made


@pytest.fixture
def desk(engine: Engine) -> Iterator[Desk]:
    opened = Desk(engine)
    yield opened
    engine.close(end_session=True)
