"""Working directory, environment and sys.path of the kernel, in the worker.

Owns applying an `Interpreter` record. Never touches what cellmesh set for this worker alone (its GPUs, its
name). Read next: `runner.py`.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cellmesh.scheduler.wire.messages import Interpreter

CAPS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "MPLBACKEND",
)
"""Set for workers unless the kernel says otherwise."""

_OURS = ("CELLMESH_", "CUDA_VISIBLE_DEVICES")


class NoSuchFolderError(FileNotFoundError):
    """The kernel's working directory is not there for the worker."""


def apply(interpreter: Interpreter) -> None:
    """Be where the kernel is."""
    try:
        if _cwd() != interpreter.cwd:
            os.chdir(interpreter.cwd)
    except OSError as error:
        raise NoSuchFolderError(
            f"The notebook's working directory {interpreter.cwd!r} cannot be entered by a worker "
            f"({error.strerror}). Change to one that exists (os.chdir)."
        ) from error
    _set_environ(interpreter.environ)
    if sys.path != interpreter.path:
        sys.path[:] = interpreter.path
        importlib.invalidate_caches()


@contextmanager
def restored() -> Iterator[None]:
    """Put everything back afterwards (the inline engine works in the kernel's own process)."""
    cwd, environ, path = _cwd(), dict(os.environ), list(sys.path)
    try:
        yield
    finally:
        if cwd and _cwd() != cwd:
            os.chdir(cwd)
        for name in os.environ.keys() - environ.keys():
            del os.environ[name]
        for name, value in environ.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if sys.path != path:
            sys.path[:] = path


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""  # it was deleted under us


def _set_environ(wanted: dict[str, str]) -> None:
    for name in list(os.environ):
        if name not in wanted and not name.startswith(_OURS) and name not in CAPS:
            del os.environ[name]
    for name, value in wanted.items():
        if name.startswith(_OURS) and name in os.environ:
            continue
        if os.environ.get(name) != value:
            os.environ[name] = value
