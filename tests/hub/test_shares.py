"""Parts of GPUs and bounded pools on a real hub: who shares a device, and how many processes there are."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import TaskWire


@pytest.fixture
def desk(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("CELLMESH_LOGICAL_GPUS", "2")
    monkeypatch.setenv("CELLMESH_CPUS", "4")
    opened = Desk(EmbeddedEngine(ensure_hub(f"test-{uuid.uuid4().hex[:6]}")))
    yield opened
    opened.engine.close(end_session=True)


def meet(folder: str, me: int, count: int) -> tuple[str, int]:
    """Wait until so many are here at once; what this process sees, and which it is."""
    import os
    import time
    from pathlib import Path

    (Path(folder) / str(me)).touch()
    deadline = time.monotonic() + 20
    while len(list(Path(folder).iterdir())) < count:
        assert time.monotonic() < deadline, "the others never came"
        time.sleep(0.005)
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


def test_parts_share_a_device_and_whole_ones_do_not(desk: Desk, tmp_path: Path) -> None:
    blob = desk.blob(meet)
    shares = [0.5, 0.25, 0.25, 1]
    tasks = [
        TaskWire(n, "call", codec.dumps(((str(tmp_path), n, 4), {})), [blob], gpus=share, cpus=0.5)
        for n, share in enumerate(shares)
    ]
    job = desk.launch("map", tasks)
    assert set(desk.told.wait_settled(job, 4).values()) == {"done"}, desk.told.whys(job)
    found = desk.told.values(job)
    seen = [found[n, 0][0] for n in range(4)]
    assert seen[0] == seen[1] == seen[2] != seen[3]
    assert len({found[n, 0][1] for n in range(4)}) == 4


def test_a_pool_is_as_large_as_it_may_be(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMESH_CPUS", "4")
    monkeypatch.setenv("CELLMESH_MAX_WORKERS", "1")
    desk = Desk(EmbeddedEngine(ensure_hub(f"test-{uuid.uuid4().hex[:6]}")))
    blob = desk.blob(os.getpid)
    job = desk.launch("map", [TaskWire(n, "call", codec.dumps(((), {})), [blob]) for n in range(20)])
    assert set(desk.told.wait_settled(job, 20).values()) == {"done"}
    assert len(set(desk.told.values(job).values())) == 1
    desk.engine.close(end_session=True)


def test_a_notebook_that_waits_is_told_who_holds_the_cores(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CELLMESH_CPUS", "1")
    folder = ensure_hub(f"test-{uuid.uuid4().hex[:6]}")
    holder = Desk(EmbeddedEngine(folder), "other.ipynb")
    waiter = Desk(EmbeddedEngine(folder), "mine.ipynb")
    long = TaskWire(0, "call", codec.dumps(((100,), {})), [holder.blob(time.sleep)])
    held = holder.launch("submit", [long])
    holder.told.wait(lambda: holder.engine.status().slots_used == 1, "its core")
    short = TaskWire(0, "call", codec.dumps(((-1,), {})), [waiter.blob(abs)])
    job = waiter.launch("submit", [short])
    line = "waiting for a core, held by other.ipynb"
    waiter.told.wait(lambda: ("notice", line) in waiter.told.calls, "word of who holds the core")
    holder.engine.cancel(held)
    assert waiter.told.wait_settled(job, 1) == {0: "done"}
    for desk in (holder, waiter):
        desk.engine.close(end_session=True)
