"""What our one file about CUDA takes of torch is there, also in a torch without CUDA."""

from __future__ import annotations

import gc
import weakref

import pytest

from cellmesh.scheduler.objects import torch_cuda

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (MemoryError("out of memory"), False),
    ],
)
def test_a_full_gpu_is_known_by_its_errors(error: Exception, full: bool) -> None:
    assert torch_cuda.is_full(error) is full


def test_memory_of_the_cpu_is_none_of_a_gpu() -> None:
    storage = torch.ones(3).untyped_storage()
    assert torch_cuda.of(storage) is None
    assert torch_cuda.places() == []
    assert torch_cuda.reserved() == 0


def test_an_alias_is_the_memory_and_keeps_it() -> None:
    """Loans are of aliases: torch wraps the storage that it shares, once more each time."""
    storage = torch.arange(8, dtype=torch.float32).untyped_storage()
    flat = torch.empty(0, dtype=torch.uint8).set_(storage)
    alias = torch.from_dlpack(flat).untyped_storage()
    assert (alias.data_ptr(), alias.nbytes()) == (storage.data_ptr(), 32)
    gone = weakref.ref(storage)
    del storage, flat
    gc.collect()
    assert gone() is not None
    del alias
    gc.collect()
    assert gone() is None


def test_a_storage_is_known_to_be_gone_with_the_last_tensor_of_it() -> None:
    """Borrowers tell by that: a storage's Python object lives as long as its memory."""
    tensor = torch.ones(100)
    gone = weakref.ref(tensor.untyped_storage())
    view = tensor[:50]
    del tensor
    gc.collect()
    assert gone() is not None
    del view
    gc.collect()
    assert gone() is None
