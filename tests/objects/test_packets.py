"""Arguments that travel together: each as it was when it was given, and read in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from crash.killing import Mesh

import cellmesh as cm
from cellmesh.scheduler.objects import packets
from cellmesh.scheduler.wire.messages import Ref


def test_a_packet_is_a_copy_and_its_readers_share_one_segment(
    prefix: str, there: Callable[[], list[str]]
) -> None:
    first, second = np.arange(20_000.0), np.ones(30_000)
    entries: list[object] = [packets.dumps(array, prefix) for array in (first, second)]
    first[:] = -1
    payload = packets.join([*entries, ((1,), {}), b"pickled"], prefix)
    assert isinstance(payload, Ref)
    assert there() == [payload.name]
    one, two, plain, pickled = packets.split(payload)
    assert (one.load() == np.arange(20_000)).all()
    assert (two.load() == 1).all()
    assert not one.load().flags.writeable
    assert (plain, pickled) == (((1,), {}), b"pickled")


def test_large_arguments_of_many_submits_arrive_as_they_were_given(mesh: Mesh) -> None:
    def told(array: np.ndarray, k: int) -> tuple[float, bool, int]:
        return float(array.sum()), bool(array.flags.writeable), k

    array = np.zeros(12_500)
    futures = []
    for k in range(300):
        array[:] = k
        futures.append(cm.submit(told, array, k))
    assert [future.result() for future in futures] == [(12_500.0 * k, False, k) for k in range(300)]
