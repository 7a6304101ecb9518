"""On a real NVIDIA GPU: workers see their own only, share parts, hand memory on. Needs only CUDA's driver."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.recording import Desk

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.worker import devices
from cellmesh.scheduler.worker.handover import TOLERANCE

pytestmark = pytest.mark.gpu

HELD = 2 << 30


@pytest.fixture
def desk(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    opened = Desk(EmbeddedEngine(ensure_hub(f"gpu-{uuid.uuid4().hex[:6]}")))
    yield opened
    opened.engine.close(end_session=True)


def cuda_devices() -> int:
    """How many devices CUDA itself shows to this process."""
    driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    if driver.cuInit(0) != 0:  # 100: there is none
        return 0
    assert driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value


def hold() -> str:
    """Take memory of the first device that CUDA shows, for the life of this process."""
    driver, context, memory = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), ctypes.c_void_p()
    assert driver.cuInit(0) == 0
    assert driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
    assert driver.cuCtxSetCurrent(context) == 0
    assert driver.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(HELD)) == 0
    return os.environ["CUDA_VISIBLE_DEVICES"]


def used() -> int:
    """Bytes in use on this worker's device."""
    seen = devices.look(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen is not None
    return seen[0].used


def hold_and_die() -> None:
    hold()
    os.kill(os.getpid(), signal.SIGKILL)


def hold_and_meet(place: tuple[str, int]) -> tuple[str, int]:
    """Hold memory while the other one does too."""
    folder, number = Path(place[0]), place[1]
    mine = hold()
    (folder / str(number)).touch()
    deadline = time.monotonic() + 60
    while not (folder / str(1 - number)).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return mine, used()


def test_what_is_found_is_what_the_hub_has(desk: Desk) -> None:
    found = devices.find()
    assert found.trouble == ()
    assert tuple(device.id for device in found.devices) == desk.engine.capacity().gpus
    assert all(device.total > device.used >= 0 and device.name for device in found.devices)


def test_each_process_sees_only_its_own(desk: Desk) -> None:
    assert desk.value(desk.call(cuda_devices, gpus=1)) == 1
    assert desk.value(desk.call(cuda_devices)) == 0


def test_memory_is_back_before_the_next_one_begins(desk: Desk) -> None:
    before = desk.value(desk.call(used, gpus=1))
    assert desk.told.states(desk.call(hold_and_die, gpus=1)) == {0: "lost"}
    assert desk.value(desk.call(used, gpus=1)) <= before + TOLERANCE


def test_a_stranger_who_keeps_memory_is_told_of(desk: Desk) -> None:
    desk.call(used, gpus=1)
    code = f"import sys; sys.path[:] = {sys.path!r}; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
    code += "import os; os.environ['CUDA_VISIBLE_DEVICES'] = '0'\n"
    code += "from worker.test_gpu import hold; print(hold(), flush=True); sys.stdin.read()"
    stranger = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "0\n"
        desk.call(os._exit, 1, gpus=1)  # the next worker is a new one
        job = desk.call(used, gpus=1)
        notes = desk.told.text(job, "note")
        assert "waiting up to 10 s for the memory of GPU 0" in notes
        assert "GPU 0 is used now" in notes
        assert desk.value(job) >= HELD
    finally:
        stranger.communicate("")


def test_two_halves_are_one_device(desk: Desk, tmp_path: Path) -> None:
    places = [(str(tmp_path), 0), (str(tmp_path), 1)]
    job = desk.launch("map", desk.map_tasks(hold_and_meet, places, 1, gpus=0.5))
    desk.told.wait_settled(job, 2)
    (first, _), (second, most) = sorted(desk.told.values(job).values(), key=lambda value: value[1])
    assert first == second
    assert most >= 2 * HELD, "both were there at once"
