"""Working directory, environment and sys.path of the kernel, in the worker.

Owns applying an `Interpreter` record. Never touches what cellmesh set for this worker alone (its GPUs, its
name). Read next: `runner.py`.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cellmesh.scheduler.wire.control import THREAD_CAPS
from cellmesh.scheduler.wire.messages import Interpreter

from . import devices

_CAPS = (*THREAD_CAPS, "MPLBACKEND")
"""Set for workers unless the kernel says otherwise."""


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


def use_cores(before: int, now: int) -> None:
    """Let libraries use as many threads as the task at hand has cores.

    Those that are loaded already do not read their variables again; torch can be told, and the others where
    the user's code has brought threadpoolctl (scikit-learn does). What the kernel has set stays.
    """
    for name in THREAD_CAPS:
        if os.environ.get(name) == str(before):
            os.environ[name] = str(now)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(now)
    if threadpoolctl := sys.modules.get("threadpoolctl"):
        threadpoolctl.threadpool_limits(now)


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
        if name not in wanted and name not in _CAPS and not _is_ours(name):
            del os.environ[name]
    for name, value in wanted.items():
        if name in devices.VARIABLES or (_is_ours(name) and name in os.environ):
            continue
        if os.environ.get(name) != value:
            os.environ[name] = value


def _is_ours(name: str) -> bool:
    return name.startswith("CELLMESH_") or name in devices.VARIABLES
