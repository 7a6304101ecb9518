"""`cm.wait` and `cm.as_completed`: several things that are on their way.

Owns waiting for any mix of our Futures, what maps return, and futures of others. Never launches. Waits as one
of ours does where there is one, so that progress shows, and Stop is felt as by `.result()`. Read next:
`several.py`, `jobs.py`, `waiting.py`.
"""

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cellmesh.scheduler.worker import lending

from .futures import Future
from .several import Several

Waitable = concurrent.futures.Future[Any] | Several


def wait(
    fs: Iterable[Waitable] | Waitable, timeout: float | None = None, return_when: str = "ALL_COMPLETED"
) -> Any:
    """`concurrent.futures.wait`, felt by Stop: two sets, of those that are done and of those that are not.

    Takes Futures, what maps return and futures of other libraries, mixed.
    """
    if return_when not in _ENOUGH:
        raise ValueError(f"return_when={return_when!r}: one of {', '.join(_ENOUGH)}.")
    chosen = _listed(fs)
    _await(chosen, lambda: _ENOUGH[return_when](chosen), timeout)
    done: set[Any] = {one for one in chosen if one.done()}
    return concurrent.futures._base.DoneAndNotDoneFutures(done, set(chosen) - done)


def as_completed(fs: Iterable[Waitable] | Waitable, timeout: float | None = None) -> Iterator[Any]:
    """What was given, each as it is done; felt by Stop. TimeoutError if that takes longer than `timeout`."""
    left = dict.fromkeys(_listed(fs))
    total = len(left)
    deadline = None if timeout is None else time.monotonic() + timeout
    ready: deque[Any] = deque()
    for one in left:
        one.add_done_callback(ready.append)
    while left:
        rest = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not _await(list(left), lambda: bool(ready), rest):
            raise TimeoutError(f"{len(left)} (of {total}) are not done within {timeout:g} s.")
        while ready:
            one = ready.popleft()
            if one in left:
                del left[one]
                yield one


def _listed(fs: Iterable[Waitable] | Waitable) -> list[Any]:
    found: list[Any] = [fs] if isinstance(fs, concurrent.futures.Future | Several) else list(fs)
    for one in found:
        if not isinstance(one, concurrent.futures.Future | Several):
            inside = " A Future that a task is given or uses is its value there." if lending.in_task() else ""
            raise TypeError(f"cm.wait and cm.as_completed take Futures and Results, not {one!r}.{inside}")
        if isinstance(one, Several):
            one.want_all()
    return found


def _await(chosen: Sequence[Any], done: Callable[[], bool], timeout: float | None) -> bool:
    """Wait until `done()`, which these make true; False at the timeout."""
    if done():
        return True
    left = [one for one in chosen if not one.done()]
    ours = next((one for one in left if isinstance(one, Future | Several)), None)
    foreign = [one for one in left if not isinstance(one, Future | Several)]
    if ours is None:
        return _await_foreign(foreign, done, timeout)
    bell = ours.session.bell
    for one in foreign:
        one.add_done_callback(lambda _: bell.ring())
    try:
        ours.wait_for(done, timeout)
    except TimeoutError:
        return False
    return True


def _await_foreign(foreign: Sequence[Any], done: Callable[[], bool], timeout: float | None) -> bool:
    """None of ours is among them."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while not done():
        rest = None if deadline is None else deadline - time.monotonic()
        if rest is not None and rest <= 0:
            return False
        left = [one for one in foreign if not one.done()]
        concurrent.futures.wait(left, rest, concurrent.futures.FIRST_COMPLETED)
    return True


def _failed(one: Any) -> bool:
    if isinstance(one, Future | Several):
        return one.failed()
    return not one.cancelled() and one.exception() is not None


def _all_done(chosen: Sequence[Any]) -> bool:
    return all(one.done() for one in chosen)


_ENOUGH: dict[str, Callable[[Sequence[Any]], bool]] = {
    concurrent.futures.ALL_COMPLETED: _all_done,
    concurrent.futures.FIRST_COMPLETED: lambda chosen: any(one.done() for one in chosen),
    concurrent.futures.FIRST_EXCEPTION: lambda chosen: (
        any(one.done() and _failed(one) for one in chosen) or _all_done(chosen)
    ),
}
