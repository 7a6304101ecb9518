"""Torch's CPU tensors: mapped privately, so that a write is the writer's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Ref

torch = pytest.importorskip("torch")

N = 100_000


def through(value: Any, prefix: str) -> tuple[Any, Ref]:
    payload = codec.dumps(value, prefix)
    assert isinstance(payload, Ref)
    return codec.loads(payload), payload


def in_place(tensor: Any, ref: Ref) -> bool:
    with open("/proc/self/maps") as lines:
        spans = [line.split()[0].split("-") for line in lines if ref.name in line]
    return any(int(start, 16) <= tensor.data_ptr() < int(end, 16) for start, end in spans)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(N),
        torch.rand(N).to(torch.bfloat16).reshape(100, -1),
        torch.arange(N) % 2 == 0,
        torch.rand(N, dtype=torch.complex64),
        torch.rand(100, N // 100).T,
        torch.rand(N)[::2],
        torch.rand(N, requires_grad=True),
        torch.nn.Parameter(torch.rand(N)),
    ],
    ids=["plain", "bfloat16", "bool", "complex", "transposed", "strided", "grad", "parameter"],
)
def test_a_tensor_is_a_view_of_the_segment_that_its_reader_may_write_to(tensor: Any, prefix: str) -> None:
    back, ref = through({"k": [tensor]}, prefix)
    back = back["k"][0]
    assert type(back) is type(tensor)
    assert (back.dtype, back.stride(), back.requires_grad) == (
        tensor.dtype,
        tensor.stride(),
        tensor.requires_grad,
    )
    assert torch.equal(back, tensor)
    assert in_place(back, ref)
    with torch.no_grad():
        back.zero_()
    assert not back.any()
    assert torch.equal(codec.loads(ref)["k"][0], tensor), "who reads it next sees nothing of that"


def test_odd_tensors_travel(prefix: str) -> None:
    odd = (
        torch.tensor(5),
        torch.empty(0),
        torch.empty((0, 3), dtype=torch.bfloat16),
        torch.rand(3, 3).to_sparse(),
        torch.rand(4, dtype=torch.complex64).conj(),
        torch.rand(2).double(),
    )
    for value in (codec.loads(codec.dumps(odd)), through((odd, b"x" * N), prefix)[0][0]):
        for back, given in zip(value, odd, strict=True):
            assert back.dtype == given.dtype
            assert back.shape == given.shape
            dense = (back.to_dense(), given.to_dense()) if given.is_sparse else (back, given)
            assert torch.equal(*dense)


def test_views_of_one_storage_stay_that(prefix: str) -> None:
    whole = torch.zeros(N)
    value, ref = through([whole, whole[: N // 2 + 1], whole.reshape(100, -1)], prefix)
    value[0][0] = 7
    assert value[1][0] == 7
    assert value[2][0, 0] == 7
    assert ref.size < 4 * N + 10_000


def test_a_row_does_not_take_its_table_along(prefix: str) -> None:
    table = torch.rand(1000, N)
    back, ref = through(table[3], prefix)
    assert torch.equal(back, table[3])
    assert ref.size < 5 * N


def test_a_module_is_one_copy_and_learns(prefix: str) -> None:
    model = torch.nn.Linear(300, 300)
    back, ref = through(model, prefix)
    assert in_place(back.weight, ref)
    torch.optim.SGD(back.parameters(), lr=0.1).zero_grad()
    back(torch.rand(2, 300)).sum().backward()
    torch.optim.SGD(back.parameters(), lr=0.1).step()
    assert not torch.equal(back.weight, model.weight)
    again = codec.loads(ref)
    assert torch.equal(again.weight, model.weight)


def test_arrays_beside_a_tensor_stay_read_only(prefix: str) -> None:
    np = pytest.importorskip("numpy")
    (tensor, array), _ = through((torch.zeros(N), np.zeros(N)), prefix)
    tensor[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_write_reaches_no_other_process(prefix: str, there: Callable[[], list[str]]) -> None:
    tensor = torch.zeros(N)
    _, ref = through(tensor, prefix)
    code = (
        "from cellmesh.scheduler.objects import codec; from cellmesh.scheduler.wire.messages import Ref;"
        f"t = codec.loads(Ref({ref.name!r}, {ref.size})); t += 1; assert float(t.sum()) == {N}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert not codec.loads(ref).any()
    assert there() == [ref.name]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(10),
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.rand(4, 5).to(torch.bfloat16),
        torch.rand(6, 4).T[1:],
        torch.rand(3).to(torch.complex64).conj(),
        torch.rand(2, 2, requires_grad=True),
        torch.rand(3).to_sparse(),
    ],
)
def test_small_tensors_come_back_as_they_were_and_may_be_written_to(tensor: Any) -> None:
    for back in (codec.loads(codec.dumps(tensor)), codec.loads(codec.dumps(((tensor, 1), {})))[0][0]):
        assert (back.dtype, back.shape, back.layout) == (tensor.dtype, tensor.shape, tensor.layout)
        assert back.requires_grad == tensor.requires_grad
        assert torch.equal(back.detach().to_dense(), tensor.detach().to_dense())
        if back.numel():
            back.detach().mul_(2)


def test_small_tensors_that_share_their_memory_go_on_doing_so() -> None:
    tensor = torch.zeros(4)
    (one, other), _ = codec.loads(codec.dumps(((tensor, tensor.view(2, 2)), {})))
    one[0] = 1
    assert other[0, 0] == 1


def test_what_a_small_tensor_has_been_given_is_not_lost() -> None:
    tensor = torch.zeros(4)
    tensor.label = "mine"
    assert codec.loads(codec.dumps(tensor)).label == "mine"
