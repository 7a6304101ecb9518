"""All results of a map at once, or the first failure, which carries the others.

Owns that list and that exception. Never waits. Read next: `mapping.py`.
"""

from concurrent.futures import CancelledError
from typing import Any

from cellmesh.scheduler.objects import frames

from .arrivals import Arrivals

EXCEPTIONS_KEPT = 1000
"""So many failures are rebuilt for `.results`; the rest stand there as None."""


def collected(arrivals: Arrivals) -> list[Any]:
    """The list of all results, in order, now that all are over; raises the first failure."""
    known = arrivals.total()
    total = arrivals.highest() if known is None else known
    values: list[Any] = []
    errors: dict[int, BaseException] = {}
    bad = 0
    while len(values) < total:
        index = len(values)
        found = arrivals.at(index)
        if bad < EXCEPTIONS_KEPT or (found is not None and found.good):
            found = arrivals.decoded(index)  # even what is good may turn out not to load
        if found is not None and found.values is not None:
            values.extend(found.values[index - found.first :] if index > found.first else found.values)
            continue
        count = 1 if found is None else found.first + found.count - index
        if found is not None and found.error is not None:
            errors.update(dict.fromkeys(range(index, index + count), found.error))
        bad += count
        values.extend([None] * count)
    if bad:
        raise frames.fresh(first_failure(errors, bad, values))
    error = arrivals.source_error()
    if error is not None:
        raise frames.fresh(error)
    return values


def first_failure(errors: dict[int, BaseException], bad: int, values: list[Any]) -> BaseException:
    """Of a map: the failure of the lowest index; a cancellation only if there is nothing else."""
    total = len(values)
    cancelled = sum(isinstance(error, CancelledError) for error in errors.values())
    real = [index for index, error in errors.items() if not isinstance(error, CancelledError)]
    chosen = errors[min(real or errors)]
    if total > 1 and not hasattr(chosen, "results"):
        also = f", {cancelled} were cancelled" if cancelled else ""
        chosen.add_note(
            f"{bad - cancelled} of {total} items failed{also}; "
            "the exception's .results has the others' results."
        )
    try:
        chosen.results = [  # type: ignore[attr-defined]
            errors.get(index, value) for index, value in enumerate(values)
        ]
    except AttributeError:
        pass  # an exception class with __slots__: its note has to do
    return chosen
