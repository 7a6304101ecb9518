"""Taking the results of a map one after another: as they complete, or in order where none is kept.

Owns two iterators, each for `for` and for `async for`. An item that failed raises; the next step goes on
after it. Never keeps results. Read next: `mapping.py`, `arrivals.py`.
"""

from typing import TYPE_CHECKING, Any

from cellmesh.scheduler.objects import frames

if TYPE_CHECKING:
    from .arrivals import Stretch
    from .mapping import Results


class _Taking:
    """Steps through stretches, item by item."""

    def __init__(self, results: "Results") -> None:
        self._results = results
        self._found: Stretch | None = None
        self._next = 0  # within it

    def __iter__(self) -> "_Taking":
        return self

    def __aiter__(self) -> "_Taking":
        return self

    def __next__(self) -> Any:
        if self._found is None:
            self._results.wait_until(self._ready)
            if not self._begin():
                raise StopIteration
        return self._step()

    async def __anext__(self) -> Any:
        if self._found is None:
            await self._results.wait_until_async(self._ready)
            if not self._begin():
                raise StopAsyncIteration
        return self._step()

    def _ready(self) -> bool:
        """Whether there is another stretch, or it is known that there is none."""
        raise NotImplementedError

    def _begin(self) -> bool:
        """Have the next stretch; False at the end."""
        raise NotImplementedError

    def _shape(self, index: int, value: Any) -> Any:
        return value

    def _step(self) -> Any:
        found, place = self._found, self._next
        assert found is not None
        self._next += 1
        if self._next >= found.count:
            self._found = None
        self._results.handed_out(found, place)
        if found.error is not None:
            raise frames.fresh(found.error)
        assert found.values is not None
        return self._shape(found.first + place, found.values[place])


class Completed(_Taking):
    """`(index, value)` of each item as it comes."""

    def __init__(self, results: "Results") -> None:
        super().__init__(results)
        self._place = 0
        self._seen = 0

    def _ready(self) -> bool:
        arrivals = self._results.arrivals
        return arrivals.came(self._place) is not None or arrivals.all_over()

    def _begin(self) -> bool:
        arrivals = self._results.arrivals
        first = arrivals.came(self._place)
        if first is None:
            self._results.check_end(self._seen)
            return False
        self._found, self._next = arrivals.decoded(first), 0
        self._place += 1
        self._seen += self._found.count
        return True

    def _shape(self, index: int, value: Any) -> Any:
        return index, value


class Stream(_Taking):
    """Values in order, of a map that keeps none: whoever comes next goes on where the last one stopped."""

    def _ready(self) -> bool:
        return self._results.decided(self._results.handed)

    def _begin(self) -> bool:
        index = self._results.handed
        arrivals = self._results.arrivals
        if arrivals.at(index) is None:
            self._results.check_end(index)
            return False
        self._found = arrivals.decoded(index)
        self._next = index - self._found.first
        return True
