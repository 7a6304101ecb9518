"""Being told when user code imports a library that we never import ourselves.

Owns one finder on `sys.meta_path`. Never imports anything, and never fails an import. Read next:
`seeding.py`, `bars.py`.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_waiting: dict[str, Callable[[Any], None]] = {}


def once_imported(name: str, then: Callable[[Any], None]) -> None:
    """Call `then` with the module as soon as it is there: now, or just after its first import."""
    module = sys.modules.get(name)
    if module is not None:
        then(module)
        return
    _waiting[name] = then
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(MetaPathFinder):
    _looking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _waiting or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_tell(module: ModuleType) -> None:
            load(module)
            then = _waiting.pop(name, None)
            if then is not None:
                then(module)

        spec.loader.exec_module = load_and_tell  # type: ignore[method-assign]
        return spec


_finder = _Finder()
