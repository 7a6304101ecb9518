"""The random numbers of seeded items: the same on every run, wherever and in whatever order they run.

Owns the seeding of Python's generator, and of NumPy's and torch's as soon as they are there: imports neither,
but seeds one that an item imports before the item can draw from it. Read next: `items.py`, `retrying.py`.
"""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .newcomers import once_imported

_now: int | None = None  # the seed of the item that runs, if it has one


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, random numbers follow from the seed."""
    global _now
    before, _now = _now, seed
    random.seed(seed)
    for name, plant in _PLANTERS.items():
        once_imported(name, partial(_came, plant))
    try:
        yield
    finally:
        _now = before


def rewinder() -> Callable[[], None]:
    """How to have this moment's random state again."""
    state = random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    of_numpy = numpy.random.get_state() if numpy else None
    of_torch = torch.get_rng_state() if torch else None

    def rewind() -> None:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(of_numpy)
        if torch:
            torch.set_rng_state(of_torch)

    return rewind


def _came(plant: Callable[[Any, int], None], module: Any) -> None:
    if _now is not None:
        plant(module, _now)


def _numpy(module: Any, seed: int) -> None:
    module.random.seed(seed % 2**32)


def _torch(module: Any, seed: int) -> None:
    module.manual_seed(seed)


_PLANTERS: dict[str, Callable[[Any, int], None]] = {"numpy": _numpy, "torch": _torch}
