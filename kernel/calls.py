"""`cm.map` and `cm.submit`: one function, many calls or one.

Owns what a user passes. Never pickles and never waits. Read next: `options.py`, `launching.py`,
`submitting.py`, `tasks.py`.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any

from . import attaching, launching, options
from .futures import Future
from .mapping import Results
from .options import Exceptions, Options
from .submitting import submissions_of
from .tasks import Task


def map(
    function: Callable[..., Any],
    /,
    *iterables: Iterable[Any] | AsyncIterable[Any],
    cpus: float | None = None,
    gpus: float | None = None,
    memory: int | str | None = None,
    retries: int | None = None,
    retry_on: Exceptions | None = None,
    timeout: float | None = None,
    priority: int | None = None,
    name: str | None = None,
    background: bool | None = None,
    stop_on_error: bool | None = None,
    seed: int | None = None,
    isolate: bool | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Results:
    """Call `function` with the items of `iterables`, in parallel; starts at once.

    Any iterable will do: a generator is taken from a little ahead of whoever takes the results, and need not
    end; an async one is consumed by the event loop of the caller.

    Args:
        cpus: cores that each call takes (default 1); 0.5 lets two calls share one.
        gpus: GPUs that each call holds (default 0): whole ones, or a part of one.
        memory: bytes that each call will need ("2GB"): so many run at once as fit. A promise, not a limit.
        retries: how many deaths of its worker an item survives (default 2).
        retry_on: exceptions after which an item is tried again, too, up to `retries` times.
        timeout: seconds that one call may run; then it is ended, with a TimeoutError.
        priority: the higher, the sooner, among what this notebook has queued (default 0).
        name: what it is called in progress lines and in `cm.jobs()`.
        background: Stop does not cancel it.
        stop_on_error: cancel the rest at the first failure; otherwise all items run.
        seed: makes random numbers the same on every run, item by item, wherever each one runs.
        isolate: on a Dask cluster, run in a process of its own beside the Dask worker, as always on one
            machine: Stop ends it wherever it is, and its crash or its surroundings are nobody else's.
        kwargs: keyword arguments for `function` that are named like one of these options; others are given
            directly.

    Returns:
        `Results`: iterate as they come, `await`, or `.result(timeout)`.
    """
    given = {
        "cpus": cpus, "gpus": gpus, "memory": memory, "retries": retries, "retry_on": retry_on,
        "timeout": timeout, "priority": priority, "name": name, "background": background,
        "stop_on_error": stop_on_error, "seed": seed, "isolate": isolate,
    }  # fmt: skip
    function, base = _told_apart(function)
    options.check_names("map", function, more)
    title = options.title_of(function)
    chosen = options.changed(base, given)
    session = attaching.current()
    options.possible(session, chosen)
    if kwargs is not None:
        options.add_named(more, kwargs)
    return launching.map_function(session, function, iterables, more, chosen.name or title, chosen)


def submit(
    function: Callable[..., Any],
    /,
    *args: Any,
    cpus: float | None = None,
    gpus: float | None = None,
    memory: int | str | None = None,
    retries: int | None = None,
    retry_on: Exceptions | None = None,
    timeout: float | None = None,
    priority: int | None = None,
    name: str | None = None,
    background: bool | None = None,
    seed: int | None = None,
    isolate: bool | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Future:
    """Call `function(*args, **more)` in a worker; returns a Future at once.

    Futures among the arguments (also inside lists and dicts) arrive as their results. The options are
    those of `cm.map`.
    """
    given = (cpus, gpus, memory, retries, retry_on, timeout, priority, name, background, seed, isolate)
    function, chosen = _told_apart(function)
    if more:
        options.check_names("submit", function, more)
    title = options.title_of(function)
    if given != _NOTHING:
        chosen = options.changed(chosen, dict(zip(_SUBMIT, given, strict=True)))
    session = attaching.current()
    options.possible(session, chosen)
    if kwargs is not None:
        options.add_named(more, kwargs)
    return submissions_of(session).submit(function, args, more, chosen.name or title, chosen)


_SUBMIT = (
    "cpus", "gpus", "memory", "retries", "retry_on", "timeout", "priority", "name", "background", "seed",
    "isolate",
)  # fmt: skip
_NOTHING = (None,) * len(_SUBMIT)


def _told_apart(function: Callable[..., Any]) -> tuple[Callable[..., Any], Options]:
    """A task's function and its options; any other function has none."""
    if isinstance(function, Task):
        return function.function, function.chosen
    return function, options.DEFAULT
