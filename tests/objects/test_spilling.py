"""What does not fit into memory lies on disk, and what fits nowhere is one clear error."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellmesh.scheduler.objects import codec, makers, room, segments
from cellmesh.scheduler.wire.messages import Ref

MIB = 1 << 20


def made(prefix: str, value: object) -> Ref:
    payload = codec.dumps(value, prefix)
    assert isinstance(payload, Ref)
    return payload


def on_disk(ref: Ref) -> bool:
    return segments.has_mark(ref.name, segments.ON_DISK)


@pytest.fixture
def small_store(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A maker whose store takes 10 MiB, however much of the folder others use."""
    makers.close_maker(prefix)
    monkeypatch.setenv(room.SETTING, "10MiB")
    makers.open_maker(prefix, tmp_path / "objects")
    return prefix


def test_what_exceeds_the_limit_is_a_file_of_the_same_use(
    small_store: str, there: Callable[[], list[str]], tmp_path: Path
) -> None:
    refs = [made(small_store, np.full(3 * MIB, i, np.uint8)) for i in range(6)]
    assert [on_disk(ref) for ref in refs] == [False] * 3 + [True] * 3
    files = list((tmp_path / "objects").iterdir())
    assert len(files) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    values = [codec.loads(ref) for ref in refs]
    assert [int(value.min()) for value in values] == list(range(6))
    assert not any(value.flags.writeable for value in values)
    makers.freed([refs[-1].name])
    assert there() == sorted(ref.name for ref in refs[:-1])
    assert len(list((tmp_path / "objects").iterdir())) == 2
    assert (values[-1] == 5).all()


def test_memory_is_used_again_once_some_is_free(small_store: str) -> None:
    refs = [made(small_store, np.zeros(3 * MIB, np.uint8)) for _ in range(4)]
    assert on_disk(refs[3])
    makers.freed([refs[0].name])
    assert not on_disk(made(small_store, np.zeros(3 * MIB, np.uint8)))
    makers.freed([refs[1].name, refs[2].name])
    assert not on_disk(made(small_store, np.zeros(5 * MIB, np.uint8))), "what is kept free gives way"


def test_small_objects_count_too(small_store: str) -> None:
    refs = [made(small_store, np.zeros(MIB // 2, np.uint8)) for _ in range(30)]
    assert not any(on_disk(ref) for ref in refs[:15])
    assert all(on_disk(ref) for ref in refs[21:])


def test_torch_writes_to_pages_of_its_own_there_too(small_store: str) -> None:
    torch = pytest.importorskip("torch")
    made(small_store, np.zeros(9 * MIB, np.uint8))
    ref = made(small_store, torch.zeros(MIB))
    assert on_disk(ref)
    codec.loads(ref).add_(1)
    assert not codec.loads(ref).any()


def test_sizes_are_read_as_people_write_them() -> None:
    assert room.parse_size("512 MiB") == 512 * MIB
    assert room.parse_size("2tb") == 2 * 10**12
    with pytest.raises(ValueError, match="'lots' is no size"):
        room.parse_size("lots")


_SCRIPT = """
import json, sys, traceback
import numpy as np, cellmesh as cm
from cellmesh.kernel import session

def make(size):
    import numpy as np
    return np.ones(size, np.uint8)

def total(array):
    return int(array.sum(dtype="u8"))

said = {}
"""


def in_small_machine(script: str, tmp_path: Path, memory: str, disk: str = "") -> Any:
    """Run a script where /dev/shm (and, if told, the folder of temporary files) is so small."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("this user may not make a mount namespace")
    runtime = os.environ["XDG_RUNTIME_DIR"]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    mounts = f"mount -t tmpfs -o size={memory} none /dev/shm"
    if disk:
        mounts += f" && mount -t tmpfs -o size={disk} none {temporary}"
    program = tmp_path / "script.py"
    program.write_text(_SCRIPT + textwrap.dedent(script) + "\nprint(json.dumps(said))\n")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mounts} && exec {sys.executable} {program}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "TMPDIR": str(temporary), "XDG_RUNTIME_DIR": runtime, "CELLMESH_CPUS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "stderr": done.stderr, "stdout": done.stdout}


def test_a_container_with_64_mb_of_shared_memory(runtime: Path, tmp_path: Path) -> None:
    said = in_small_machine(
        """
        futures = [cm.submit(make, 200_000_000) for _ in range(2)]
        said["sums"] = [total(future.result()) for future in futures]
        ref = cm.put(np.ones(100_000_000, np.uint8))
        said["there"] = cm.map(total, [ref, ref]).result()
        said["small"] = total(cm.submit(make, 1_000_000).result())
        """,
        tmp_path,
        "64m",
    )
    assert said["sums"] == [200_000_000] * 2
    assert said["there"] == [100_000_000] * 2
    assert said["small"] == 1_000_000
    everything = said["stdout"] + said["stderr"]
    assert everything.count("do not all fit into shared memory (/dev/shm has 0.1 GB") == 1
    assert "--shm-size" in everything


def test_a_full_disk_fails_the_task_and_nothing_else(runtime: Path, tmp_path: Path) -> None:
    said = in_small_machine(
        """
        kept = cm.submit(make, 100_000_000)
        said["first"] = total(kept.result())
        failed = cm.submit(make, 300_000_000).exception()
        said["error"] = [type(failed).__name__, str(failed)]
        try:
            cm.put(np.ones(300_000_000, np.uint8))
        except MemoryError as error:
            said["put"] = str(error)
        said["after"] = cm.map(abs, range(-3, 0)).result()
        said["still"] = total(kept.result())
        del kept, failed
        said["again"] = total(cm.submit(make, 120_000_000).result())
        """,
        tmp_path,
        "16m",
        "256m",
    )
    assert said["first"] == said["still"] == 100_000_000
    assert said["error"][0] == "StoreFullError"
    assert "No room for 300 MB: neither in /dev/shm nor on the disk of" in said["error"][1]
    assert "No room for 300 MB" in said["put"]
    assert said["after"] == [3, 2, 1]
    assert said["again"] == 120_000_000
