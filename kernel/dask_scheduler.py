"""`cm.dask_get`: dask's graphs run on the pool.

Owns the translation of a graph's tasks into calls. dask's own scheduler loop decides what runs next and lets
go of what nobody needs any more; results stay where they are (in shared memory, if large) and only Futures
pass through it. Never imports dask before it is called. Read next: `bounded.py`, `sharing.py`.
"""

import concurrent.futures
import importlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.worker import lending

from . import attaching, waiting
from .bounded import BoundedCalls
from .futures import Future
from .sharing import Shared

AHEAD = 32
"""Tasks per core that are under way: so many that small ones can travel together."""


def dask_get(
    dsk: Any,
    keys: Any,
    *,
    num_workers: int | None = None,
    callbacks: Any = None,
    rerun_exceptions_locally: bool | None = None,
    **_: Any,
) -> Any:
    """A dask scheduler that runs the tasks of a graph on the pool.

    >>> dask.config.set(scheduler=cm.dask_get)
    >>> dask.array.random.random((10_000, 10_000)).mean().compute()

    Args:
        num_workers: at most so many tasks run at once (default: as many as the pool has cores).
        callbacks: as dask's other schedulers take them; `dask.diagnostics.ProgressBar` works.
        rerun_exceptions_locally: run a task that failed again, in this process, for a debugger.
    """
    local, spec = _dask("dask.local"), _dask("dask._task_spec")
    config = _dask("dask").config
    session = attaching.current()
    limit = num_workers or config.get("num_workers", None) or session.engine.capacity().cpus
    if rerun_exceptions_locally is None:
        rerun_exceptions_locally = config.get("rerun_exceptions_locally", False)
    graph = _prepared(dsk, keys, spec, config)
    calls = BoundedCalls(session, limit)
    run = _Run(calls, _dask("dask.utils").key_split, bool(rerun_exceptions_locally))
    try:
        with lending.lent(), waiting.interruptible():
            found = local.get_async(
                run.submit,
                limit * AHEAD,
                graph,
                keys,
                callbacks=callbacks,
                raise_exception=run.fail,
                rerun_exceptions_locally=False,
                chunksize=1,
            )
    except BaseException:
        calls.cancel()
        raise
    return _taken(keys, found)


def _dask(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise EngineError(
            f"cm.dask_get needs dask 2025.1 or later: {error}. Try: pip install -U dask"
        ) from None


def _prepared(dsk: Any, keys: Any, spec: Any, config: Any) -> dict[Hashable, Any]:
    """The graph that `keys` need: chains are one task each, and large data is in shared memory."""
    if not isinstance(dsk, Mapping):
        dsk = dsk.__dask_graph__()
    wanted = set(_flat(keys))
    missing = next((key for key in wanted if key not in dsk), None)
    if missing is not None:
        raise KeyError(missing)
    graph = spec.cull(spec.convert_legacy_graph(dict(dsk)), wanted)
    if config.get("optimization.fuse.active", None) is not False:
        graph = spec.fuse_linear_task_spec(graph, wanted)
    shared = Shared()
    return {
        key: spec.DataNode(key, shared.share(node.value)) if isinstance(node, spec.DataNode) else node
        for key, node in graph.items()
    }


class _Run:
    """One call of `dask_get`: what dask's loop asks for."""

    def __init__(
        self,
        calls: BoundedCalls,
        name_of: Callable[[Hashable], str],
        rerun: bool,
    ) -> None:
        self._calls = calls
        self._name_of = name_of
        self._rerun = rerun

    def submit(self, _: object, batch: list[Any]) -> "concurrent.futures.Future[Any]":
        """In the place of an executor's: the answer holds Futures instead of results."""
        ((key, (task, data), *_), *_) = batch
        answer: concurrent.futures.Future[Any] = concurrent.futures.Future()
        if hasattr(task, "target"):  # only another name of something that is there
            answer.set_result([(key, (data[task.target], None), False)])
            return answer
        call = self._calls.submit(_run, (task, data), {}, self._name_of(key))

        def done(_: object) -> None:
            outcome = (call, (task, data)) if call.failed() else (call, None)
            answer.set_result([(key, outcome, call.failed())])

        call.add_done_callback(done)
        return answer

    def fail(self, call: Future, what: tuple[Any, dict[Hashable, Any]]) -> None:
        """Raise what the task raised."""
        if self._rerun:
            task, data = what
            task({key: _value(one) for key, one in data.items()})
        call.result()


def _run(task: Any, data: dict[Hashable, Any]) -> Any:
    """In the worker, where Futures have become their values."""
    return task(data)


def _flat(keys: Any) -> list[Hashable]:
    return [key for one in keys for key in _flat(one)] if isinstance(keys, list) else [keys]


def _taken(keys: Any, found: Any) -> Any:
    """The values of what was found, which is nested as the keys are."""
    if isinstance(keys, list):
        return tuple(_taken(key, one) for key, one in zip(keys, found, strict=True))
    return _value(found)


def _value(one: Any) -> Any:
    return one.result() if isinstance(one, Future) else one
