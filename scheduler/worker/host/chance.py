"""The state of chance: the process's random generators, which belong to an actor's state as its weights do.

Owns what of them a checkpoint has: Python's, NumPy's and torch's own generators, if the actor has imported
these. Read next: `lasting.py`.
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any


def taken() -> dict[str, Any]:
    """How they are now, as plain data."""
    found: dict[str, Any] = {"random": random.getstate()}
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        name, keys, *rest = numpy.get_state()
        found["numpy"] = (name, keys.tobytes(), rest)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = bytes(torch.get_rng_state().tolist())
        if torch.cuda.is_initialized():
            found["cuda"] = [bytes(state.tolist()) for state in torch.cuda.get_rng_state_all()]
    return found


def put_back(found: dict[str, Any]) -> None:
    """Have them go on from there. What was imported then is imported now."""
    if "random" in found:
        random.setstate(found["random"])
    if "numpy" in found:
        numpy: Any = importlib.import_module("numpy")
        name, keys, rest = found["numpy"]
        numpy.random.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))
    if "torch" in found:
        torch: Any = importlib.import_module("torch")
        torch.set_rng_state(_tensor(torch, found["torch"]))
        if "cuda" in found:
            torch.cuda.set_rng_state_all([_tensor(torch, state) for state in found["cuda"]])


def _tensor(torch: Any, state: bytes) -> Any:
    return torch.frombuffer(bytearray(state), dtype=torch.uint8)
