"""The keys of our tasks in Dask: each says what it is, so that a notebook that comes back finds its own.

Owns their form. Never looks at what tasks bring. Read next: `scheduler/keeper.py`, `notebook/book.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_MARK = "cm"


def session_of(key: str) -> str:
    """What a session is called in Dask's scheduler: its own key says where notebooks are."""
    return hashlib.blake2b(key.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """Of one attempt at a task."""

    kind: str  # of the job: Dask's own views group by it
    session: str
    job: int
    task: int
    size: int
    retries: int
    attempt: int

    def __str__(self) -> str:
        numbers = "-".join(
            f"{each:x}" for each in (self.job, self.task, self.size, self.retries, self.attempt)
        )
        return f"{self.kind}-{_MARK}{self.session}-{numbers}"


def read(key: object) -> Key | None:
    """What a key says; None if it is not one of ours."""
    if not isinstance(key, str) or f"-{_MARK}" not in key:
        return None
    kind, session, *numbers = key.split("-")
    if not session.startswith(_MARK) or len(numbers) != 5:
        return None
    job, task, size, retries, attempt = (int(number, 16) for number in numbers)
    return Key(kind, session.removeprefix(_MARK), job, task, size, retries, attempt)
