"""What travels between a notebook and the Dask workers about its tasks: orders, news, outcomes.

Owns these records. Never sends them: orders are arguments of Dask's tasks, outcomes their values, and news
come over a comm of our own (`scheduler/listening.py`). Read next: `notebook/pool.py`, `worker/work.py`.
"""

from __future__ import annotations

import pickle
import re
import secrets
from typing import Any

import msgspec

from cellmesh.scheduler.objects.segments import PRIVATE
from cellmesh.scheduler.wire.records import Payload, Wire
from cellmesh.scheduler.wire.work import Output, Progress, Report, Run

_COUNTED = 32  # bits of a number that one kernel counts

OP = "cellmesh"
"""The operation of Dask's comms that all of this is."""

GPU = "GPU"
"""Dask's conventional name of this resource."""

NOBODY = ""
"""Told under a session's topic in place of a worker's address: there is none."""

REFS = "dask-"
"""How the names of objects begin that lie in Dask's memory."""


def topic(session: str) -> str:
    """Of Dask's events: a worker begins something for a session that does not listen to it."""
    return f"cellmesh-{session}"


class Order(Wire, frozen=True):
    """A task of ours as Dask's task has it.

    `held` says what its dependencies are: a blob (its digest), an object that the notebook made (its name),
    or a large result (its name, and after a "|" the one that it has in the outcome that is there now).
    """

    session: str
    run: Run
    blobs: dict[str, Payload]
    held: list[str]


class Begun(Wire, frozen=True):
    """An attempt runs now, on the worker that says so."""

    attempt: int


class Said(Wire, frozen=True):
    """An attempt printed something: its output of this number, counted from 0."""

    attempt: int
    number: int
    output: Output


class Late(Wire, frozen=True):
    """It has run for longer than it may; it is interrupted, and `Report` follows if it yields."""

    attempt: int


class Lost(Wire, frozen=True):
    """The process of its own has died in which it ran, and was not tried again; `Report` follows."""

    attempt: int
    why: str


class Stop(Wire, frozen=True):
    """To the worker: interrupt this attempt."""

    attempt: int


class Drop(Wire, frozen=True):
    """To the worker: do not begin attempts of this job up to this one, though Dask may still say so."""

    job: int
    through: int


News = Begun | Said | Progress | Late | Lost | Report


class Told(Wire, frozen=True):
    """All that is to be told of an attempt that is over."""

    report: Report  # with all of its items
    progress: list[Progress]  # the last words of how far it was
    outputs: list[Output]  # the last of them
    first: int  # the number of `outputs[0]`
    late: bool
    lost: str  # why, if it was


class Outcome:
    """The value of Dask's task. Large results lie in Dask's memory, and are moved and spilled by it."""

    def __init__(self, told: bytes, large: list[Any]) -> None:
        self.told = told  # a `Told`, encoded
        self.large = large  # contents, by the number at the end of their names

    def content(self, name: str) -> Any:
        """The large result of this name."""
        place = place_of(name)
        assert place is not None
        return self.large[place[1]]

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + len(self.told) + sum(map(len, self.large))

    def __reduce__(self) -> Any:
        return Outcome, (self.told, [pickle.PickleBuffer(content) for content in self.large])


def ref_name(session: str, attempt: int, number: int, marks: str) -> str:
    """Of a large result."""
    return f"{REFS}{session}-{attempt:x}-{number:x}{marks}"


def place_of(name: str) -> tuple[int, int] | None:
    """The attempt and the number in the name of a large result; None in that of another object."""
    found = _RESULT.fullmatch(name)
    return None if found is None else (int(found[1], 16), int(found[2], 16))


_RESULT = re.compile(rf"{REFS}[^-]+-([0-9a-f]+)-([0-9a-f]+){PRIVATE}?")


def first_attempt() -> int:
    """Where a kernel begins to count its attempts: no other has such numbers."""
    return (secrets.randbits(28) << _COUNTED) + 1


def is_dropped(attempt: int, through: int) -> bool:
    """Whether this is an attempt of the same kernel, and not after that one."""
    return attempt <= through and attempt >> _COUNTED == through >> _COUNTED


encode = msgspec.msgpack.Encoder().encode
read_order = msgspec.msgpack.Decoder(Order).decode
read_news = msgspec.msgpack.Decoder(list[News]).decode
read_told = msgspec.msgpack.Decoder(Told).decode
read_wish = msgspec.msgpack.Decoder(Stop | Drop).decode
