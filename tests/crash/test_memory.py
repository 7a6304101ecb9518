"""Running out of memory and of disk: an error for the task or the person, never a silent end."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.killing import Mesh

import cellmesh as cm

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
