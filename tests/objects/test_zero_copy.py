"""What comes back lies in the segment itself, read-only; what is small is the reader's own."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Ref

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

N = 100_000


def through(value: Any, prefix: str) -> tuple[Any, Ref]:
    payload = codec.dumps(value, prefix)
    assert isinstance(payload, Ref)
    return codec.loads(payload), payload


def mapped(ref: Ref) -> list[range]:
    """Where the segment lies in this process, by the kernel's own word."""
    with open("/proc/self/maps") as lines:
        found = [line.split()[0] for line in lines if ref.name in line]
    return [range(*(int(end, 16) for end in span.split("-"))) for span in found]


def in_place(address: int, ref: Ref) -> bool:
    return any(address in span for span in mapped(ref))


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@dataclasses.dataclass
class Holder:
    array: Any
    name: str


_RECORDS = np.dtype([("id", "i4"), ("at", "f8"), ("tag", "S8")])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(N),
        np.arange(N, dtype=np.float32).reshape(100, -1),
        np.asfortranarray(np.arange(N).reshape(100, -1)),
        np.arange(2 * N)[::2],
        np.arange(N).reshape(100, -1).T,
        np.zeros(N, _RECORDS),
        np.arange(N).astype("M8[s]"),
        np.array(b"x" * N),
        np.broadcast_to(np.arange(10), (N, 10)),
    ],
    ids=["plain", "2d", "fortran", "strided", "transposed", "records", "dates", "0d", "broadcast"],
)
def test_numpy_arrays_are_views_of_the_segment(array: np.ndarray, prefix: str) -> None:
    for wrap, unwrap in (
        (lambda a: a, lambda v: v),
        (lambda a: {"k": [a, 1]}, lambda v: v["k"][0]),
        (lambda a: Holder(a, "n"), lambda v: v.array),
    ):
        value, ref = through(wrap(array), prefix)
        back = unwrap(value)
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert (back == array).all()
        assert in_place(address(back), ref)
        assert not back.flags.writeable
        assert address(back) % 64 == 0
        if array.flags.forc:
            assert back.flags.f_contiguous == array.flags.f_contiguous


def test_a_view_cannot_be_made_writable(prefix: str) -> None:
    back, _ = through(np.arange(N), prefix)
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        back.flags.writeable = True


def test_what_is_small_is_the_readers_own() -> None:
    back = codec.loads(codec.dumps(np.arange(100), "not-used"))
    back[0] = 7
    assert back[0] == 7


def test_arrow_tables_are_views_of_the_segment(prefix: str) -> None:
    table = pa.table({"x": pa.array(range(N)), "s": pa.array([f"s{i}" for i in range(N)])})
    (back, alone), ref = through((table, table["x"].chunk(0)), prefix)
    assert back.equals(table)
    assert alone.equals(table["x"].chunk(0))
    buffers = [b for column in back.columns for chunk in column.chunks for b in chunk.buffers() if b]
    assert len(buffers) >= 3
    assert all(in_place(buffer.address, ref) for buffer in buffers)
    assert not any(buffer.is_mutable for buffer in buffers)


def test_numeric_columns_of_pandas_are_views_of_the_segment(prefix: str) -> None:
    frame = pd.DataFrame({"a": np.arange(N), "b": np.arange(N) / 2, "c": np.arange(N) % 2 == 0})
    frame.index = pd.Index(np.arange(N)[::-1].copy(), name="key")
    back, ref = through(frame, prefix)
    pd.testing.assert_frame_equal(back, frame)
    for name in frame.columns:
        column = back[name].to_numpy()
        assert in_place(address(column), ref), name
        assert not column.flags.writeable
    assert in_place(address(back.index.to_numpy()), ref)
    changed = back.copy()
    changed.loc[0, "a"] = -1
    assert back.loc[0, "a"] == frame.loc[0, "a"]


def test_arrow_columns_and_text_of_pandas(prefix: str) -> None:
    words = [f"word {i}" for i in range(N)]
    frame = pd.DataFrame(
        {
            "arrow": pd.array(range(N), dtype="int64[pyarrow]"),
            "text": pd.array(words, dtype="string[pyarrow]"),
            "plain": words,
            "kind": pd.Categorical(["a", "b"] * (N // 2)),
        }
    )
    back, ref = through(frame, prefix)
    pd.testing.assert_frame_equal(back, frame)
    for name in ("arrow", "text"):
        for chunk in pa.chunked_array(back[name].array.__arrow_array__()).chunks:
            assert all(in_place(buffer.address, ref) for buffer in chunk.buffers() if buffer)
