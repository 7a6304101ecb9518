"""Segments are written again once they are free, and never under a view."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cellmesh.scheduler.objects import codec, maker, makers, segments
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.messages import Ref

MIB = 1 << 20


def made(prefix: str, value: object) -> Ref:
    payload = codec.dumps(value, prefix)
    assert isinstance(payload, Ref)
    return payload


def inode(ref: Ref) -> int:
    return (system.shared_memory_folder() / ref.name).stat().st_ino


def test_a_freed_segment_is_written_again_under_a_new_name(
    prefix: str, there: Callable[[], list[str]]
) -> None:
    first = made(prefix, np.full(4 * MIB, 1, np.uint8))
    memory = inode(first)
    makers.freed([first.name])
    second = made(prefix, np.full(4 * MIB - 1000, 2, np.uint8))
    assert inode(second) == memory
    assert there() == [second.name]
    assert second.name != first.name
    value = codec.loads(second)
    assert value.shape == (4 * MIB - 1000,)
    assert (value == 2).all()
    with pytest.raises(segments.ObjectGoneError, match="gone"):
        codec.loads(first)


def test_it_is_not_written_again_while_somebody_has_a_view(
    prefix: str, there: Callable[[], list[str]]
) -> None:
    first = made(prefix, np.full(4 * MIB, 1, np.uint8))
    view = codec.loads(first)[100:200]
    makers.freed([first.name])
    second = made(prefix, np.full(4 * MIB, 2, np.uint8))
    assert (view == 1).all()
    assert there() == [second.name], "what is still seen has no name any more"
    memory = inode(second)
    makers.freed([second.name])
    assert inode(made(prefix, np.full(4 * MIB, 3, np.uint8))) == memory
    assert (view == 1).all()


def test_nor_while_another_process_has_one_however_that_ends(prefix: str) -> None:
    first = made(prefix, np.full(4 * MIB, 1, np.uint8))
    code = (
        "import sys; from cellmesh.scheduler.objects import segments;"
        "from cellmesh.scheduler.wire.messages import Ref;"
        f"kept = segments.view(Ref({first.name!r}, {first.size})); print('mapped', flush=True);"
        "sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "mapped\n"
        memory = inode(first)
        makers.freed([first.name])
        second = made(prefix, np.full(4 * MIB, 2, np.uint8))
        assert inode(second) != memory
        reader.kill()
    makers.freed([second.name])
    third = made(prefix, np.full(4 * MIB, 3, np.uint8))
    assert (codec.loads(third) == 3).all()


def test_what_is_kept_is_bounded(
    prefix: str, there: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    makers.close_maker(prefix)
    monkeypatch.setattr(maker, "KEPT_BYTES", 10 * MIB)
    makers.open_maker(prefix, Path("/nowhere"))
    refs = [made(prefix, np.zeros(4 * MIB, np.uint8)) for _ in range(5)]
    makers.freed([ref.name for ref in refs])
    assert there() == sorted(ref.name + segments.FREE for ref in refs[3:]), "the latest are the warmest"
    assert made(prefix, np.zeros(64 * MIB, np.uint8)).name in there(), "a large one does not take a small one"
    makers.close_maker(prefix)
    assert len(there()) == 1, "what is free goes with the maker; what is in use does not"


def test_a_freed_segment_whose_name_is_gone_is_no_trouble(prefix: str) -> None:
    first = made(prefix, np.zeros(4 * MIB, np.uint8))
    makers.freed([first.name])
    segments.unlink(first.name + segments.FREE)
    second = made(prefix, np.ones(4 * MIB, np.uint8))
    assert (codec.loads(second) == 1).all()


def test_what_is_interrupted_leaves_no_segment(
    prefix: str, there: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    makers.freed([made(prefix, np.zeros(4 * MIB, np.uint8)).name])
    for where, name in ((maker, "_copy"), (maker.os, "writev")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                made(prefix, np.zeros(4 * MIB, np.uint8))
        assert there() == []


def test_stop_is_never_kept_waiting_by_one_long_system_call(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def writev(fd: int, vector: list[memoryview]) -> int:
        written.append(os_writev(fd, vector))
        return written[-1]

    os_writev = maker.os.writev
    monkeypatch.setattr(maker.os, "writev", writev)
    value = [np.full(40 * MIB, 7, np.uint8), *(np.full(5000, i % 256, np.uint8) for i in range(3000))]
    back = codec.loads(made(prefix, value))
    assert all((a == b).all() for a, b in zip(back, value, strict=True))
    assert max(written) <= 16 * MIB


def test_many_views_do_not_use_up_the_descriptors(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = [made(prefix, np.full(100_000, i, np.uint8)) for i in range(20)]
    monkeypatch.setattr(segments.resource, "getrlimit", lambda _: (20, 20))
    before = len(os.listdir("/proc/self/fd"))
    values = [codec.loads(ref) for ref in refs]
    assert len(os.listdir("/proc/self/fd")) - before <= 10
    assert [int(value[-1]) for value in values] == list(range(20))
    assert not any(value.flags.writeable for value in values)


def test_thousands_of_buffers_are_one_segment(prefix: str) -> None:
    value = [np.full(1000, i) for i in range(5000)]
    ref = made(prefix, value)
    assert all((a == b).all() for a, b in zip(codec.loads(ref), value, strict=True))
    makers.freed([ref.name])
    again = made(prefix, value)
    assert all((a == b).all() for a, b in zip(codec.loads(again), value, strict=True))
