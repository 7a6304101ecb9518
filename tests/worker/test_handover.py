"""A device is handed on when its memory is back, and whoever keeps it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.worker import handover
from cellmesh.scheduler.worker.devices import Device, Holder
from cellmesh.scheduler.worker.handover import PATIENCE, Verdict, await_memory, judge

MIB = 1 << 20


@pytest.mark.parametrize(
    ("level", "used", "waited", "verdict"),
    [
        (None, 900 * MIB, 0.0, Verdict.BACK),
        (100 * MIB, 356 * MIB, 0.0, Verdict.BACK),
        (100 * MIB, 357 * MIB, 0.0, Verdict.WAIT),
        (900 * MIB, 100 * MIB, 0.0, Verdict.BACK),
        (100 * MIB, 357 * MIB, PATIENCE - 0.1, Verdict.WAIT),
        (100 * MIB, 357 * MIB, PATIENCE, Verdict.LATE),
        (100 * MIB, 356 * MIB, PATIENCE, Verdict.BACK),
    ],
)
def test_the_level_before_the_lease_counts(
    level: int | None, used: int, waited: float, verdict: Verdict
) -> None:
    assert judge(level, used, waited) is verdict


class Gpu:
    """What a device's memory is, look by look; the last reading stays."""

    def __init__(self, *mib: int) -> None:
        self._mib = list(mib)
        self.looks = 0

    def __call__(self, gpu: str) -> tuple[Device, list[Holder]]:
        self.looks += 1
        used = (self._mib.pop(0) if len(self._mib) > 1 else self._mib[0]) * MIB
        return Device(gpu, "nvidia", "a GPU", 1 << 40, used), [Holder(42, "python", used)]


@pytest.fixture
def level(runtime: Path) -> Path:
    """The file of GPU 0's lock."""
    folders.gpu_locks().mkdir(parents=True, mode=0o700)
    return folders.gpu_lock("0")


def uninterrupted() -> None:
    """No interrupt comes."""


def test_a_first_lease_notes_what_is_in_use(level: Path) -> None:
    said: list[str] = []
    await_memory(["0"], said.append, uninterrupted, Gpu(500))
    assert (said, level.read_text()) == ([], str(500 * MIB))


def test_a_later_one_waits_until_it_is_back_and_the_level_does_not_creep(level: Path) -> None:
    level.write_text(str(500 * MIB))
    gpu = Gpu(9000, 4000, 700)
    await_memory(["0"], [].append, uninterrupted, gpu)
    assert (gpu.looks, level.read_text()) == (3, str(500 * MIB))


def test_who_keeps_it_is_named_and_work_goes_on(level: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "PATIENCE", 0.4)
    monkeypatch.setattr(handover, "_SILENCE", 0.1)
    level.write_text(str(500 * MIB))
    said: list[str] = []
    await_memory(["0"], said.append, uninterrupted, Gpu(3500))
    assert [line.split(",")[0] for line in said] == [
        "waiting up to 0 s for the memory of GPU 0",
        "GPU 0 is used now",
    ]
    assert all("3,000 MiB more in use than before its last use" in line for line in said)
    assert all(line.endswith("3,500 MiB by process 42 (python)") for line in said)
    assert level.read_text() == str(3500 * MIB), "the next one does not wait for it again"


def test_stop_ends_the_wait(level: Path) -> None:
    level.write_text(str(0))

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await_memory(["0"], [].append, interrupted, Gpu(3500))
