"""The short cut for plain data is never taken for anything else."""

from __future__ import annotations

import io
import pickle
import pickletools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cellmesh.scheduler.objects import codec, plain
from cellmesh.scheduler.wire.messages import Payload, Ref

_ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
_PLAIN = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


class Mine:
    pass


_OTHERS = st.sampled_from([len, Mine, Mine(), Fraction(1, 3), io.BytesIO, 1j, range(3), ..., np.float64(1)])


def names_something(data: bytes) -> bool:
    return any("GLOBAL" in code.name for code, _, _ in pickletools.genops(data))


@settings(deadline=None)
@given(_PLAIN)
def test_plain_data_comes_back(value: Any) -> None:
    payload = codec.dumps(value)
    assert codec.loads(payload) == value


@settings(deadline=None)
@given(
    st.recursive(
        _ATOMS | _OTHERS,
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    )
)
def test_a_pickle_that_names_something_is_never_taken_for_plain(value: Any) -> None:
    data = pickle.dumps(value, protocol=5)
    assert plain.refers(data) or not names_something(data)


@pytest.mark.parametrize("size", range(65_490, 65_560))
def test_nor_where_a_frame_of_the_pickle_begins(size: int) -> None:
    data = pickle.dumps(["x" * (size - 40), "y" * 10, len, Mine, len], protocol=5)
    assert plain.refers(data)


def test_a_class_behind_plain_data_is_found() -> None:
    assert plain.dumps([1] * 1000 + [Mine]) is None
    assert plain.dumps({"a": 1, "b": np.zeros(3)}) is None
    assert plain.dumps(((7,), {})) is not None


def test_a_future_is_found_wherever_it_hangs() -> None:
    class Promise:
        def __reduce__(self) -> Any:
            raise TypeError("by itself it cannot be pickled")

    promise = Promise()

    def persist(obj: Any) -> Payload | None:
        return codec.dumps("kept") if obj is promise else None

    value = {"a": [1, (2, {"b": promise})], "c": promise}
    back = codec.loads(codec.dumps(value, persist=persist))
    assert back == {"a": [1, (2, {"b": "kept"})], "c": "kept"}


def test_plain_data_over_the_limit_is_a_segment(prefix: str) -> None:
    value = list(range(100_000))
    payload = codec.dumps((value, "x" * 100_000), prefix)
    assert isinstance(payload, Ref)
    assert codec.loads(payload) == (value, "x" * 100_000)


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_calls_with_arrays_come_back(prefix: str, size: int) -> None:
    words, square = np.array(["a" * (size % 99)] * 9), np.asfortranarray(np.eye(9))
    odd = [np.arange(size)[::2], np.array([Mine, 1]), np.arange(size).astype("M8[s]"), np.ma.zeros(3)]
    for array in [np.arange(size), np.arange(size) * 1.5, words, square, *odd]:
        well = all(array is not one for one in odd)
        for value in (array, ((array, 1, "x"), {})):
            assert plain.is_arrays(value) == well
            back = codec.loads(codec.dumps(value, prefix))
            if value is not array:
                assert back[0][1:] == (1, "x")
                back = back[0][0]
            assert type(back) is type(array)
            assert np.array_equal(back, array)


def test_small_arrays_are_their_readers_own_also_beside_large_ones(prefix: str) -> None:
    small, large = codec.loads(codec.dumps([np.zeros(100), np.zeros(100_000)], prefix))
    assert small.flags.writeable
    assert not large.flags.writeable
