"""Values on their way out of a process that runs user code: pickled, or refused in words.

Owns how a result is pickled quickly, and what is said of one that cannot be. Never decides what happens then.
Read next: `items.py`, `host/calling.py`.
"""

import pickle
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from cellmesh.scheduler.objects import codec, staying
from cellmesh.scheduler.objects.describing import describe
from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.objects.segments import StoreFullError
from cellmesh.scheduler.objects.unpicklable import Unpicklable
from cellmesh.scheduler.wire.messages import INLINE_LIMIT, Payload

PLAIN = frozenset({type(None), bool, int, float})
"""Types whose values need no care at all."""

_KEEP = "keep it on a worker in a %%distributed cell"


def dump(
    value: Any, prefix: str, *, stand_in: bool = False, instead: str = _KEEP, bag: staying.Bag | None = None
) -> Payload:
    """Pickle a result. What cannot be is described (`stand_in`), or raises what to do `instead`.

    What stays where it is stays in the `bag`.
    """
    kind = type(value)
    if kind in PLAIN or (kind is str and len(value) < INLINE_LIMIT // 4):
        return pickle.dumps(value, protocol=5)  # a tenth of what a cloudpickler costs
    if isinstance(value, Future):  # of a task that this one submitted: its result is this one's, too
        return dump(value.result(), prefix, stand_in=stand_in, instead=instead, bag=bag)
    try:
        return codec.dumps(
            value, prefix, pickler=codec.Pickler if bag is None else partial(codec.Pickler, bag=bag)
        )
    except StoreFullError:
        raise
    except Exception as error:  # noqa: BLE001 - pickling runs code of the value's own
        if stand_in:
            return codec.dumps(Unpicklable(kind.__qualname__, describe(value), str(error)))
        raise codec.CannotPickleError(
            f"The result, a {kind.__qualname__}, cannot be pickled: {error}. Return plain data "
            f"(numbers, arrays, state_dict(), a path), or {instead}."
        ) from None


def dump_failure(failure: Failure, prefix: str) -> Payload:
    """Pickle a failure, without its exception if there is no room for that."""
    try:
        return codec.dumps(failure, prefix)
    except StoreFullError:
        return codec.dumps(replace(failure, exception=None))
