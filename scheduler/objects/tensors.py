"""Torch's CPU tensors on their way through shared memory: their storage travels as it is, out of band.

Owns what replaces torch's own pickling of storages, which copies them twice. Tensors, parameters and modules
are pickled by torch itself around it, so views of one storage stay views of one storage. Never imports torch:
who has a tensor has it. Read next: `codec.py`.
"""

import ctypes
import pickle
import sys
from typing import Any


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
        if kind is torch.storage.TypedStorage and obj._untyped_storage.device.type == "cpu":
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


def _is_small_part(torch: Any, tensor: Any) -> bool:
    """Whether most of a tensor's storage is not its own: a row of a table must not take the table along."""
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
        return False
    own: int = tensor.numel() * tensor.element_size()
    return 2 * own < int(tensor.untyped_storage().nbytes())


def _untyped(frombuffer: Any, uint8: Any, buffer: Any) -> Any:
    return frombuffer(buffer, dtype=uint8).untyped_storage()


def _typed(kind: Any, untyped: Any, dtype: Any) -> Any:
    return kind(wrap_storage=untyped, dtype=dtype, _internal=True)
