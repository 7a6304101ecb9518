"""Running out of memory and of disk: an error for the task or the person, never a silent end."""

from __future__ import annotations

import os
import re
import resource
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.killing import Mesh, until

import cellmesh as cm
from cellmesh.scheduler.wire import folders

GROUPS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of 300 MB, where we may make one."""
    for root, limit in GROUPS:
        group = Path(root) / f"cellmesh-test-{uuid.uuid4().hex[:6]}"
        if not (Path(root) / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
            (group / limit).write_text(str(300 << 20))
        except OSError:
            continue
        break
    else:
        pytest.skip("may not make control groups here")
    yield group
    group.rmdir()


def eat() -> None:
    kept = []
    while True:
        kept.append(bytearray(10 << 20))


def test_a_worker_killed_for_its_memory_is_named_so(mesh: Mesh, small_group: Path) -> None:
    def eat_there(group: Path) -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        eat()

    with pytest.raises(cm.WorkerLost) as lost:
        cm.submit(eat_there, small_group, retries=0).result(50)
    assert re.search(r"was killed by SIGKILL, probably out of memory: peak [23]\d\d MB", str(lost.value))


def test_a_limit_on_the_address_space_is_an_exception_of_the_task(mesh: Mesh) -> None:
    def limited() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
        try:
            eat()
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    with pytest.raises(MemoryError):
        cm.submit(limited, retries=0).result(30)
    assert cm.submit(abs, -3).result(30) == 3


def test_a_hub_whose_disk_is_full_says_so_and_goes_on(mesh: Mesh, capfd: pytest.CaptureFixture[str]) -> None:
    journal = folders.data_folder(mesh.folder.name) / "journal"
    assert cm.submit(abs, -1).result(30) == 1
    heard = ""

    def told(text: str) -> bool:
        nonlocal heard
        heard += capfd.readouterr().err
        return text in heard

    resource.prlimit(
        mesh.hub(), resource.RLIMIT_FSIZE, (journal.stat().st_size + 100, resource.RLIM_INFINITY)
    )
    assert cm.map(abs, range(-100, 0)).result(30) == list(range(100, 0, -1))
    until(lambda: told(f"the hub cannot write its journal in {journal.parent} (File too large)"), "the news")
    assert "Free some space there" in heard
    resource.prlimit(mesh.hub(), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert cm.submit(abs, -2).result(30) == 2
    until(lambda: told("the hub can write its journal again"), "the end of the trouble")
    kept = cm.submit(abs, -3)
    mesh.kill_hub()
    assert kept.result(30) == 3
    assert heard.count("cannot write") == 1
