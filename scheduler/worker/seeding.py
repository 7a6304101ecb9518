"""The random numbers of seeded items: the same on every run, wherever and in whatever order they run.

Owns the seeding of Python's generator, and of NumPy's and torch's as soon as they are there: imports neither,
but seeds one that an item imports before the item can draw from it. Read next: `items.py`, `retrying.py`.
"""

import importlib.util
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, random numbers follow from the seed."""
    random.seed(seed)
    for name, plant in _PLANTERS.items():
        if module := sys.modules.get(name):
            plant(module, seed)
    if _newcomers not in sys.meta_path:
        sys.meta_path.insert(0, _newcomers)
    _newcomers.seed = seed
    try:
        yield
    finally:
        _newcomers.seed = None


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


def _numpy(module: Any, seed: int) -> None:
    module.random.seed(seed % 2**32)


def _torch(module: Any, seed: int) -> None:
    module.manual_seed(seed)


_PLANTERS: dict[str, Callable[[Any, int], None]] = {"numpy": _numpy, "torch": _torch}


class _Newcomers(MetaPathFinder):
    """Seeds what a seeded item is the first in its process to import."""

    seed: int | None = None
    _looking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _PLANTERS or self.seed is None or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_seed(module: ModuleType) -> None:
            load(module)
            if self.seed is not None:
                _PLANTERS[name](module, self.seed)

        spec.loader.exec_module = load_and_seed  # type: ignore[method-assign]
        return spec


_newcomers = _Newcomers()
