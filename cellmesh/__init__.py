"""cellmesh: one notebook that drives every core and GPU it can reach.

    %load_ext cellmesh
    import cellmesh as cm

    ys = cm.map(f, xs).result()          # f(x) for all xs, in parallel, in order
    fut = cm.submit(f, x)                # one call; fut.result() waits for it
    big = cm.put(array)                  # shared memory: many calls use it without copies
    cm.jobs(); cm.cancel(3)              # what runs; end job 3
    r = cm.attach()                      # after a kernel restart: the results of what ran on

A cell that begins with `%%distributed` runs on every worker of the mesh, `%mesh` shows them. Help on each:
`cm.map?`, `%%distributed?`, `%mesh?`.
"""

# Owns public names only. Importing it loads nothing but the standard library; each name brings what it needs
# at its first use. Read next: `kernel/api.py`.

import importlib
from typing import TYPE_CHECKING, Any

from cellmesh import guests
from cellmesh.scheduler.wire.version import VERSION

guests.welcome()

__version__ = VERSION

if TYPE_CHECKING:
    from cellmesh.kernel.actors.decorating import actor
    from cellmesh.kernel.actors.errors import ActorDied
    from cellmesh.kernel.actors.listing import actors
    from cellmesh.kernel.actors.marks import batch, method
    from cellmesh.kernel.actors.starting import get_actor
    from cellmesh.kernel.api import (
        Executor,
        Future,
        Results,
        WorkerLost,
        as_completed,
        attach,
        cancel,
        connect,
        dask_get,
        jobs,
        map,
        put,
        start,
        stop,
        submit,
        task,
        track,
        wait,
    )

__all__ = [
    "ActorDied",
    "Executor",
    "Future",
    "Results",
    "WorkerLost",
    "__version__",
    "actor",
    "actors",
    "as_completed",
    "attach",
    "batch",
    "cancel",
    "connect",
    "dask_get",
    "get_actor",
    "jobs",
    "load_ipython_extension",
    "map",
    "method",
    "put",
    "start",
    "stop",
    "submit",
    "task",
    "track",
    "wait",
]


_WHERE = {
    "ActorDied": "actors.errors",
    "Executor": "executor",
    "actor": "actors.decorating",
    "actors": "actors.listing",
    "batch": "actors.marks",
    "dask_get": "dask_scheduler",
    "get_actor": "actors.starting",
    "map": "calls",
    "method": "actors.marks",
    "put": "putting",
    "submit": "calls",
    "task": "tasks",
    "track": "tracking",
}  # what programs begin with brings only what it needs; all other names come with `kernel/api.py`


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        from cellmesh.kernel import showing

        showing.install()
    if name in __all__:
        module = importlib.import_module(f"cellmesh.kernel.{_WHERE.get(name, 'api')}")
        value = globals()[name] = getattr(module, name)
        return value
    import difflib

    known = {one.casefold(): one for one in __all__ if not one.startswith("_")}
    close = [] if name.startswith("_") else difflib.get_close_matches(name.casefold(), known, n=1)
    hint = f". Did you mean: {known[close[0]]!r}?" if close else ""
    # `obj`: or Python would put a guess of its own behind ours.
    raise AttributeError(f"module 'cellmesh' has no attribute {name!r}{hint}", name=name, obj=None)


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext cellmesh`: attach to the hub, or start one."""
    from cellmesh.kernel import api

    api.load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext cellmesh`: the magics go; what runs stays for the session's grace time."""
    from cellmesh.kernel import extension

    extension.unload_ipython_extension(shell)
