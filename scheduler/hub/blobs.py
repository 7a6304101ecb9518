"""A session's blobs: functions, captured values and surroundings, which tasks need by digest.

Owns who may still refer to each, and how many tasks need it. Never frees memory: whoever takes what is
unwanted does. Read next: `store.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cellmesh.scheduler.wire.messages import Payload


@dataclass(slots=True)
class Blobs:
    """A blob stays while somebody refers to it or a task needs it.

    >>> blobs = Blobs()
    >>> blobs.put("kernel", "digest", b"a function")
    >>> blobs.need(["digest"])
    >>> blobs.drop("kernel", {"digest"}); blobs.take_unwanted()
    {}
    >>> blobs.part(["digest"]); blobs.take_unwanted()
    {'digest': b'a function'}
    """

    kept: dict[str, Payload] = field(default_factory=dict)
    _users: dict[str, set[str]] = field(default_factory=dict)  # what each may still refer to
    _needed: dict[str, int] = field(default_factory=dict)  # by so many tasks
    _unwanted: set[str] = field(default_factory=set)  # nobody refers to them: they go with the last task

    def put(self, user: str, digest: str, data: Payload) -> Payload | None:
        """The user may refer to it from now on. Returns `data` if the same is kept already, elsewhere."""
        self._users.setdefault(user, set()).add(digest)
        self._unwanted.discard(digest)
        kept = self.kept.setdefault(digest, data)
        return data if kept != data else None

    def drop(self, user: str, digests: set[str]) -> None:
        """The user will not refer to them again."""
        used = self._users.get(user)
        if used is not None:
            used -= digests
            if not used:
                del self._users[user]
        self._unwanted |= digests.difference(*self._users.values()) & self.kept.keys()

    def drop_all(self, user: str) -> None:
        """The user is gone."""
        self.drop(user, set(self._users.get(user, ())))

    def need(self, digests: Iterable[str]) -> None:
        """A task came that runs with these."""
        for digest in digests:
            self._needed[digest] = self._needed.get(digest, 0) + 1

    def part(self, digests: Iterable[str]) -> None:
        """A task for which `need` was called will not run again."""
        for digest in digests:
            left = self._needed[digest] - 1
            if left:
                self._needed[digest] = left
            else:
                del self._needed[digest]

    def take_unwanted(self) -> dict[str, Payload]:
        """Those that nobody refers to and no task needs; they are forgotten."""
        gone = self._unwanted - self._needed.keys() if self._unwanted else set()
        self._unwanted -= gone
        return {digest: self.kept.pop(digest) for digest in sorted(gone)}
