"""Errors that nobody caught, as a person sees them: without frames of ours.

Owns the two places where that is done: as IPython shows an error, and as a script ends with one. What is
raised stays as it is for whoever catches it. Never prints. Read next:
`cellmesh/scheduler/objects/frames.py`, `stop.py`.
"""

import sys
import types
from typing import Any

from cellmesh.scheduler.objects.frames import is_stopped_await, tidy
from cellmesh.scheduler.worker import lending

from . import stop


def install() -> None:
    """From now on errors are shown so. To be called again is harmless."""
    if lending.in_task():
        return  # a worker: what its tasks raise is shown in the notebook
    shell = stop.shell()
    if shell is None:
        _in_script()
    elif not getattr(shell.showtraceback, "of_cellmesh", False):
        _in_shell(shell)


def _in_shell(shell: Any) -> None:
    # Not `__tracebackhide__`: IPython honours it for all but the last frame, which is ours when a wait is
    # stopped or an argument is wrong, and it is a line in each function. Not `_render_traceback_`: that is
    # per exception, and most are of the user's own types.
    shows = shell.showtraceback

    def show(exc_tuple: Any = None, *more: Any, **options: Any) -> Any:
        error = (exc_tuple or sys.exc_info())[1]
        if error is not None:
            if is_stopped_await(error):
                # ipykernel's Stop cancels the cell's coroutine. asyncio cannot tell that from a time limit,
                # so what is raised must stay a CancelledError; but if nobody has caught it, it was Stop.
                error = KeyboardInterrupt().with_traceback(error.__traceback__)
            tidy(error)
            exc_tuple = (type(error), error, error.__traceback__)
        return shows(exc_tuple, *more, **options)

    show.of_cellmesh = True  # type: ignore[attr-defined]
    shell.showtraceback = show


def _in_script() -> None:
    shows = sys.excepthook
    if getattr(shows, "of_cellmesh", False):
        return

    def show(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        tidy(error)
        shows(kind, error, error.__traceback__)

    show.of_cellmesh = True  # type: ignore[attr-defined]
    sys.excepthook = show
