"""What an actor's process keeps for others: values that were left out of the pickles which name them.

Owns finding them again, and the count of what was passed on by which way. A `Bag` lives as long as anybody
holds it (the caller whose answer it belongs to, a call under way, a borrower); the shelf itself does not.
Never speaks to anybody. Read next: `staying.py`, `borrowing.py`, `../worker/host/borrowers.py`.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from weakref import WeakValueDictionary

from cellmesh.scheduler.wire.messages import Payload

from . import borrowing, codec, staying

COPIED = "host memory"
"""How people call the way of what is copied."""


class Bag:
    """What stays, of one pickle. Hold it for as long as somebody may load that."""

    __slots__ = ("__weakref__", "_away", "_shelf", "key", "things")

    def __init__(self, shelf: "Shelf") -> None:
        self.key = 0
        self.things: list[staying.Thing] = []
        self._shelf = shelf
        self._away: borrowing.Away | None = None  # made when there is something: most results have nothing

    def begin(self) -> None:
        """It is pickled (again)."""
        self.things.clear()

    def reduce(self, thing: staying.Thing) -> staying.Call:
        """What the pickle says in its place."""
        if self._away is None:
            self.key, self._away = self._shelf.name()
        self.things.append(thing)
        return borrowing.taken, (self._away, len(self.things) - 1)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(thing.nbytes for thing in self.things)

    @property
    def places(self) -> list[str]:
        """Where they are."""
        return sorted({thing.place for thing in self.things})


class Shelf:
    """Of one process, which others reach by this address."""

    def __init__(self, address: str, owner: str) -> None:
        self._address = address
        self._owner = owner
        self._keys = count(1)
        self._bags: WeakValueDictionary[int, Bag] = WeakValueDictionary()
        self.passed: Counter[str] = Counter()  # bytes, by the way that they went
        borrowing.own[address] = self._things

    def bag(self) -> Bag:
        """For one pickle that is about to be made."""
        return Bag(self)

    def name(self) -> tuple[int, borrowing.Away]:
        """The key of a bag, and what its pickle calls it."""
        key = next(self._keys)
        return key, borrowing.Away(self._address, key, self._owner)

    def put(self, bag: Bag) -> Bag | None:
        """The pickle is made: the bag, to be held, if there is something in it."""
        if not bag.things:
            return None
        self._bags[bag.key] = bag
        return bag

    def find(self, key: int) -> Bag | None:
        """What somebody asks for."""
        return self._bags.get(key)

    def loans(self, bag: Bag, places: Sequence[str]) -> list[staying.Loan] | None:
        """For somebody who has these places; None if it must be copied."""
        if not bag.things or not set(bag.places) <= set(places):
            return None
        loans: list[staying.Loan] = []
        try:
            for thing in bag.things:
                loans.append(thing.lend())
        except RuntimeError:  # the driver, or torch's allocator, does not let it
            for loan in loans:
                loan.recall()
            return None
        for thing in bag.things:
            self.passed[thing.way] += thing.nbytes
        return loans

    def opening(self, loans: Sequence[staying.Loan], prefix: str) -> Payload:
        """The payload of what the borrower calls."""
        return codec.dumps([loan.opened for loan in loans], prefix)

    def copies(self, bag: Bag, prefix: str) -> Payload:
        """The payload of copies for somebody elsewhere."""
        payload = codec.dumps([thing.copy() for thing in bag.things], prefix)
        self.passed[COPIED] += bag.nbytes
        return payload

    def held(self) -> int:
        """Bytes that are kept for others."""
        return sum(bag.nbytes for bag in list(self._bags.values()))

    def _things(self, key: int) -> Sequence[staying.Thing] | None:
        bag = self._bags.get(key)
        return None if bag is None else bag.things


here: Shelf | None = None
"""The one of this process, if it is an actor's."""
