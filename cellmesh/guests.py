"""Has joblib know the backend "cellmesh", whichever of the two is imported first.

Owns that registration. Never imports joblib. Read next: `kernel/joblib_backend.py`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_JOBLIB = "joblib.parallel"


def welcome() -> None:
    """Register now if joblib is imported, else as it is."""
    joblib = sys.modules.get(_JOBLIB)
    if joblib is not None:
        _register(joblib)
    else:
        sys.meta_path.insert(0, _WhenImported())


def _register(joblib: ModuleType) -> None:
    joblib.register_parallel_backend("cellmesh", _backend)


def _backend(**settings: Any) -> Any:
    from cellmesh.kernel.joblib_backend import CellmeshBackend

    return CellmeshBackend(**settings)


class _WhenImported:
    """Registers after the module has run. joblib has no entry points that would make this needless."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        if name != _JOBLIB:
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register(module)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
