"""Which devices there are, and that a process sees its own only; absent vendors by their files."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.recording import Desk, interpreter

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.hub import probe
from cellmesh.scheduler.hub.leases import Leases
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.worker import devices
from cellmesh.scheduler.worker.devices import Device, Holder


@pytest.fixture
def amd(tmp_path: Path) -> Path:
    """What AMD's driver shows of a processor and three GPUs; we hold memory on the last."""
    for node, render in enumerate((0, 128, 129, 130)):
        folder = tmp_path / "kfd/kfd/topology/nodes" / str(node)
        folder.mkdir(parents=True)
        (folder / "name").write_text("gfx942\n" if node else "\n")
        (folder / "gpu_id").write_text(f"{node * 1000}\n")
        simds = 304 * bool(node)
        text = f"cpu_cores_count {8 * (not node)}\nsimd_count {simds}\nunique_id {node + 160}\n"
        (folder / "properties").write_text(f"{text}drm_render_minor {render}\n")
        card = tmp_path / f"drm/renderD{render}/device"
        card.mkdir(parents=True)
        (card / "mem_info_vram_total").write_text(f"{192 << 30}\n")
        (card / "mem_info_vram_used").write_text(f"{node << 30}\n")
    ours = tmp_path / "kfd/kfd/proc" / str(os.getpid())
    ours.mkdir(parents=True)
    for node in (1, 2, 3):
        (ours / f"vram_{node * 1000}").write_text(f"{(node == 3) << 30}\n")
    return tmp_path


def test_amds_devices_come_in_hips_order_with_their_memory(amd: Path) -> None:
    found = [device for device, _ in devices._amd(amd)]
    assert found[0] == Device("amd0", "amd", "gfx942", 192 << 30, 1 << 30)
    assert [device.id for device in found] == ["amd0", "amd1", "amd2"]


@pytest.mark.parametrize(
    ("environ", "left"),
    [
        ({"HIP_VISIBLE_DEVICES": "2,0"}, ["amd0", "amd2"]),
        ({"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, ["amd2"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-a1"}, ["amd0"]),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_amds_hidden_devices_stay_hidden(
    amd: Path, environ: dict[str, str], left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert [device.id for device, _ in devices._amd(amd)] == left


def test_who_holds_amds_memory_has_a_name(amd: Path) -> None:
    (mine,) = devices._amd_holders(amd, 3000)
    assert (mine.pid, mine.used) == (os.getpid(), 1 << 30)
    assert str(mine).startswith(f"1,024 MiB by process {os.getpid()} (")
    assert str(Holder(7, "", 0)) == "process 7"


@pytest.mark.parametrize(
    ("own", "cuda", "hip"),
    [((), "", None), (("1", "3"), "1,3", None), (("MIG-a",), "MIG-a", None), (("amd1",), "", "1")],
)
def test_the_variables_name_the_devices_and_no_others(
    own: tuple[str, ...], cuda: str, hip: str | None
) -> None:
    environ = devices.visibility(own)
    assert (environ["CUDA_VISIBLE_DEVICES"], environ.get("HIP_VISIBLE_DEVICES")) == (cuda, hip)


@pytest.mark.parametrize("part", ["1", "GPU-8f", "GPU-8f21"])
def test_cudas_variable_names_numbers_or_beginnings_of_uuids(part: str) -> None:
    assert devices._is_allowed(["0", part], "1", "GPU-8f21")
    assert not devices._is_allowed(["0", part], "2", "GPU-77aa")


def test_the_hub_asks_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMESH_LOGICAL_GPUS", "3")
    assert probe.devices() == ("0", "1", "2")


def test_workers_of_one_hub_share_a_lease_and_hubs_do_not(runtime: Path) -> None:
    (runtime / "cellmesh").mkdir(mode=0o700)
    ours, others = Leases(), Leases()
    first, second, third = (1, 2, 3)
    assert ours.take(first, ("0", "1")) == ""  # type: ignore[arg-type]
    assert ours.alone(first) == ["0", "1"]  # type: ignore[arg-type]
    assert ours.take(second, ("1",)) == ""  # type: ignore[arg-type]
    assert ours.alone(second) == []  # type: ignore[arg-type]
    ours.free(first)  # type: ignore[arg-type]
    assert others.take(third, ("0", "1")) == "1"  # type: ignore[arg-type]
    assert ours.take(first, ("0",)) == "", "what was refused in part holds nothing"  # type: ignore[arg-type]
    ours.free(second)  # type: ignore[arg-type]
    assert others.take(third, ("1",)) == ""  # type: ignore[arg-type]
    for leases in (ours, others):
        leases.free(first)  # type: ignore[arg-type]
        leases.free(third)  # type: ignore[arg-type]


@pytest.fixture
def desk(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A pool with two logical GPUs."""
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    monkeypatch.setenv("CELLMESH_LOGICAL_GPUS", "2")
    opened = Desk(EmbeddedEngine(ensure_hub(f"devices-{uuid.uuid4().hex[:6]}")))
    yield opened
    opened.engine.close(end_session=True)


def sees() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def meets(place: tuple[str, int]) -> str | None:
    """What a task sees while the other one runs too."""
    folder, number = Path(place[0]), place[1]
    (folder / str(number)).touch()
    deadline = time.monotonic() + 30
    while not (folder / str(1 - number)).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_each_process_sees_only_its_own(desk: Desk, tmp_path: Path) -> None:
    assert desk.engine.capacity().gpus == ("0", "1")
    places = [(str(tmp_path), 0), (str(tmp_path), 1)]
    job = desk.launch("map", desk.map_tasks(meets, places, 1, gpus=1))
    desk.told.wait_settled(job, 2)
    assert sorted(desk.told.values(job).values()) == ["0", "1"]
    assert desk.value(desk.call(sees, gpus=2)) == "0,1"
    assert desk.value(desk.call(sees)) == "", "who asked for none sees none"


def test_the_notebooks_own_variable_changes_nothing_of_it(desk: Desk) -> None:
    changed: dict[str, Any] = {**os.environ, "CUDA_VISIBLE_DEVICES": "5", "ROCR_VISIBLE_DEVICES": "5"}
    desk.engine.set_context(interpreter(environ=changed))
    assert desk.value(desk.call(sees, gpus=2)) == "0,1"
    assert desk.value(desk.call(os.getenv, "ROCR_VISIBLE_DEVICES")) is None


def threads() -> tuple[str | None, str | None]:
    return os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS")


def test_threads_are_as_many_as_cores(desk: Desk) -> None:
    assert desk.value(desk.call(threads)) == ("1", "1")
    assert desk.value(desk.call(threads, cpus=2)) == ("2", "2")
    desk.engine.set_context(interpreter(environ={**os.environ, "MKL_NUM_THREADS": "7"}))
    assert desk.value(desk.call(threads, cpus=2)) == ("2", "7"), "the kernel's own word counts"
    assert desk.value(desk.call(threads, cpus=1)) == ("1", "7")


def test_parts_of_a_device_are_shared_and_seen_by_both(desk: Desk, tmp_path: Path) -> None:
    places = [(str(tmp_path), 0), (str(tmp_path), 1)]
    job = desk.launch("map", desk.map_tasks(meets, places, 1, gpus=0.5))
    assert desk.told.wait_settled(job, 2) == {0: "done", 1: "done"}
    assert list(desk.told.values(job).values()) == ["0", "0"], (
        "together at once, and the other one is left whole"
    )
