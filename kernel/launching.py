"""Fanning a function or a cell out over items.

Owns what `cm.map` and `%%distributed --over` share. Never decodes results. Read next: `feeding.py`,
`mapping.py`.
"""

import sys
from collections.abc import AsyncIterable, Callable, Iterable, Sequence, Sized
from functools import partial
from typing import Any, Literal, cast

from . import blame, packing, unattended
from .chunking import slots_for
from .feeding import Feeder, Template
from .jobs import Kind
from .lazy import LazyFeeder
from .mapping import Results
from .options import DEFAULT, Options
from .session import Session
from .sources import source_of, together
from .submitting import submissions_of


def fan_out(
    session: Session,
    items: Any,
    template: Template,
    *,
    kind: Kind,
    title: str,
    total: int | None = None,
    options: Options = DEFAULT,
    limit: float | None = None,
    slots: int | None = None,
    holds: Sequence[Any] = (),
) -> Results:
    """Start a job with one item for each of `items` (an iterable, maybe async); returns at once.

    `total` is their number if that is known (it is looked up for anything sized). `limit` is in seconds, for
    all of them together. `holds` live as long as the results do.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    source = source_of(items, pulled=session.engine.name == "inline") if total is None else None
    if slots is None:
        capacity = session.engine.capacity()
        slots = slots_for(options.cpus, options.gpus, capacity.cpus, len(capacity.gpus))
        if template.pool == "mesh":
            slots = len(session.workers) or slots
    job = session.launch(
        kind,
        title,
        background=options.background,
        stop_on_error=options.stop_on_error,
        timeout=limit,
    )
    job.planned = total or 0
    feeder = (
        Feeder(job, items, total, template, slots)
        if source is None
        else LazyFeeder(job, source, template, slots)
    )
    job.place_of = feeder.starts.get
    results = Results(job, feeder)
    results.holds = list(holds)
    if kind == "map":
        unattended.watch(job, feeder.starts.__getitem__)
    try:
        feeder.start()
    except BaseException:
        job.abandon()
        raise
    return results


def map_function(
    session: Session,
    function: Callable[..., Any],
    iterables: tuple[Any, ...],
    kwargs: dict[str, Any],
    title: str,
    options: Options,
) -> Results:
    """`cm.map`: like the built-in `map`, it ends with the shortest iterable."""
    if not iterables:
        raise TypeError("cm.map needs something to iterate over: cm.map(f, xs).")
    for position, iterable in enumerate(iterables):
        try:
            if not isinstance(iterable, AsyncIterable):
                iter(iterable)
        except TypeError:
            raise TypeError(
                f"Argument {position + 2} of cm.map is {blame.a(type(iterable).__name__)}, which cannot be "
                "iterated over. A value that is the same for all items goes in "
                "by name: cm.map(f, xs, scale=2)."
            ) from None
    prefix = session.engine.task_prefix()
    try:
        packed = packing.pack(partial(function, **kwargs) if kwargs else function, prefix)
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
        given = [(f"argument `{name}`", part) for name, part in kwargs.items()]
        raise packing.explained(error, [("your function", function), *given]) from None
    for future in packed.waits:  # shared by all items: nothing can start before it is there
        future.result()
    blob, held = submissions_of(session).kinds.put(packed.finish(prefix))
    sized = all(isinstance(iterable, Sized) for iterable in iterables)
    total = min(len(iterable) for iterable in iterables if isinstance(iterable, Sized)) if sized else None
    wire = options.wire(session)
    blobs = (blob, *filter(None, [wire["retry_on"]]))
    alone = len(iterables) == 1
    verb: Literal["each", "map"] = "each" if alone else "map"
    template = Template(verb, blobs, options=wire, seed=options.seed, held=held)
    return fan_out(
        session,
        _kept(iterables[0]) if alone else _rows(iterables),
        template,
        kind="map",
        title=f"map {title}",
        total=total,
        options=options,
        holds=packed.holds,
    )


def _rows(iterables: tuple[Any, ...]) -> Any:
    """Like `zip`; it is async if one of them is."""
    kept = [_kept(iterable) for iterable in iterables]
    if any(isinstance(iterable, AsyncIterable) for iterable in kept):
        return together(kept)
    return zip(*kept, strict=False)


def _kept(iterable: Iterable[Any]) -> Iterable[Any]:
    """The same items, whatever the next line of the cell does to what holds them."""
    if isinstance(iterable, list):
        return list(iterable)
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(iterable) is numpy.ndarray:
        return cast(Iterable[Any], iterable.copy())  # type: ignore[attr-defined]
    return iterable
