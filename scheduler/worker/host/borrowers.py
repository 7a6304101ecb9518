"""Who came for what a pickle had left here, and what was lent to it.

Owns one such connection: it lasts as long as the borrower uses what it got, and tells of its death. Never
decides what stays: `objects/shelf.py` and its kinds do. Read next: `hearing.py`.
"""

from __future__ import annotations

from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.objects.shelf import Bag, Shelf
from cellmesh.scheduler.objects.staying import Loan
from cellmesh.scheduler.wire.direct import Lent
from cellmesh.scheduler.wire.framing import Framed
from cellmesh.scheduler.wire.messages import Payload, Ref


class Borrower:
    """On this road. The shelf is None where nothing is kept."""

    def __init__(self, road: Framed, shelf: Shelf | None, prefix: str) -> None:
        self._road = road
        self._shelf = shelf
        self._prefix = prefix
        self._bag: Bag | None = None  # it lives as long as the borrower
        self._loans: dict[int, Loan] = {}
        self._payload: Payload = b""

    def fetch(self, key: int, places: list[str]) -> None:
        """It wants this; it has these places."""
        bag = None if self._shelf is None else self._shelf.find(key)
        if bag is None or self._shelf is None:
            self._road.post(Lent(gone=True))
            return
        self._bag = bag
        try:
            loans = self._shelf.loans(bag, places)
            if loans is None:
                self._payload = self._shelf.copies(bag, self._prefix)
            else:
                self._loans = dict(enumerate(loans))
                self._payload = self._shelf.opening(loans, self._prefix)
        except Exception as error:  # noqa: BLE001 - no room in memory, say: whoever asked is told
            self._road.post(Lent(why=f"{type(error).__name__}: {error}"))
            return
        self._road.post(Lent(loans is not None, self._payload))

    def returned(self, index: int) -> None:
        """It does not use this any more."""
        self._loans.pop(index, None)
        if not self._loans:
            self._bag = None  # a forked child of it may keep the connection open

    def gone(self) -> None:
        """It hung up; what it has not returned by now it has died with."""
        for loan in self._loans.values():
            loan.recall()
        self._loans.clear()
        self._bag = None
        if isinstance(self._payload, Ref):
            makers.freed([self._payload.name])
        self._payload = b""
