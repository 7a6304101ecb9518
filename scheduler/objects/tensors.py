"""Torch's CPU tensors on their way through shared memory: their storage travels as it is, out of band.

Owns what replaces torch's own pickling of storages, which copies them twice (but for those of a GPU, which
`torch_cuda.py` knows). Tensors, parameters and modules
are pickled by torch itself around it, so views of one storage stay views of one storage. A small tensor by
itself takes a short cut. Never imports torch before a tensor is there: who has a tensor has it.
Read next: `codec.py`.
"""

import ctypes
import importlib
import io
import pickle
import sys
from typing import Any

from .plain import ATOMS

SMALL = 4096
"""Bytes of a tensor that is pickled by the short cut."""

_WHOLE = ("cpu", "cuda")
"""Devices whose storages travel as they are; of other devices torch knows better."""

_ours: dict[Any, Any] = {}  # how the short cut's pickler reduces torch's tensors, once there are any


class Storages:
    """The storages that one pickle holds; `private` are the buffers that their owner may write to."""

    def __init__(self) -> None:
        self.private: list[pickle.PickleBuffer] = []
        self._held: dict[int, Any] = {}  # a tensor's storage is a new object each time it is asked for

    def reduce(self, obj: Any) -> Any:
        """How to pickle `obj`, or None if it is not ours."""
        torch = sys.modules.get("torch")
        kind = type(obj)
        if torch is None or not kind.__module__.startswith("torch"):
            return None
        if kind is torch.storage.TypedStorage and obj._untyped_storage.device.type in _WHOLE:
            held = self._held.setdefault(obj._untyped_storage._cdata, obj._untyped_storage)
            return _typed, (kind, held, obj.dtype)
        if kind is torch.UntypedStorage and obj.device.type == "cpu":
            if not obj.nbytes():
                return kind, (0,)
            memory = (ctypes.c_ubyte * obj.nbytes()).from_address(obj.data_ptr())
            memory.owner = obj  # as long as the buffer lives
            buffer = pickle.PickleBuffer(memory)
            self.private.append(buffer)
            return _untyped, (torch.frombuffer, torch.uint8, buffer)
        if kind is torch.Tensor and _is_small_part(torch, obj):
            part = obj.detach().clone().requires_grad_(obj.requires_grad)
            return part.__reduce_ex__(5)
        return None


def small(obj: Any) -> bytes | None:
    """The pickle of one small tensor, or of a call with one among plain data; None if it is anything else.

    Only of one: two may share their memory, which must stay so.
    """
    torch = sys.modules.get("torch")
    kind = getattr(torch, "Tensor", None)
    if kind is None:
        return None
    if type(obj) is not kind:
        if type(obj) is not tuple or len(obj) != 2 or type(obj[0]) is not tuple or obj[1] != {}:
            return None
        tensors = [each for each in obj[0] if type(each) not in ATOMS]
        if len(tensors) != 1 or type(tensors[0]) is not kind or not _is_small(torch, tensors[0]):
            return None
    elif not _is_small(torch, obj):
        return None
    _ours[kind] = _reduced
    file = io.BytesIO()
    _Quick(file, protocol=5).dump(obj)
    return file.getvalue()


class _Quick(pickle.Pickler):
    dispatch_table = _ours


def _is_small(torch: Any, tensor: Any) -> bool:
    """Whether its numbers are all that there is to it."""
    return (
        tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and tensor.nbytes <= SMALL
        and not (tensor.requires_grad or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
        and not tensor.__dict__
    )


def _reduced(tensor: Any) -> Any:
    whole = tensor.contiguous()
    data = ctypes.string_at(whole.data_ptr(), whole.nbytes) if whole.nbytes else b""
    return _rebuilt, (data, str(whole.dtype).removeprefix("torch."), tuple(whole.shape))


def _rebuilt(data: bytes, dtype: str, shape: tuple[int, ...]) -> Any:
    torch: Any = importlib.import_module("torch")
    kind = getattr(torch, dtype)
    if not data:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(bytearray(data), dtype=kind).reshape(shape)


def _is_small_part(torch: Any, tensor: Any) -> bool:
    """Whether most of a tensor's storage is not its own: a row of a table must not take the table along."""
    if tensor.device.type not in _WHOLE or tensor.layout != torch.strided or tensor.is_quantized:
        return False
    own: int = tensor.numel() * tensor.element_size()
    return 2 * own < int(tensor.untyped_storage().nbytes())


def _untyped(frombuffer: Any, uint8: Any, buffer: Any) -> Any:
    return frombuffer(buffer, dtype=uint8).untyped_storage()


def _typed(kind: Any, untyped: Any, dtype: Any) -> Any:
    return kind(wrap_storage=untyped, dtype=dtype, _internal=True)
