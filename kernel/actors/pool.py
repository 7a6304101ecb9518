"""Several actors of one class as one: what `Model.start(replicas=4)` returns.

Owns which of them the next call goes to, and how they become more or fewer. Each is an actor of its own, with
its own state: this is for those that only compute. Read next: `handle.py`, `starting.py`.
"""

import os
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from cellmesh.scheduler.objects.members import Members

from .errors import first_line, sealed
from .future import ActorFuture
from .handle import Handle
from .method import Method, Single, called, method_of

DEPTH = 8
"""Calls of a map that each of them has at a time: what comes later goes to who is done first."""

_turns = count()


class Pool:
    """Actors of one class, behind one handle.

    h = Model.start(replicas=4)
    h.embed.map(texts)           # whoever has least to do is next
    h.scale(2)                   # fewer: each ends when it has answered what it has
    """

    def __init__(self, name: str, handles: Sequence[Handle], make: Callable[[int], Handle] | None) -> None:
        self._name = name
        self._handles = list(handles)
        self._make = make  # the one of this number; None: nobody here has the class

    @property
    def _title(self) -> str:
        return self._name

    @property
    def _kind(self) -> type | None:
        return self._handles[0]._single._kind

    @property
    def _window(self) -> int | None:
        local = self._handles[0]._caller.local
        return None if local else DEPTH * len(self._handles)

    def _pick(self) -> Single:
        """Whoever has least to do, others' calls included; each in its turn if there are several."""
        if any(handle._caller.info.state == "ended" for handle in self._handles):
            self._drop_ended()
        turn = (next(_turns) + os.getpid()) % len(self._handles)  # tasks do not begin with the same one
        alive = [*self._handles[turn:], *self._handles[:turn]]
        chosen = min(alive, key=lambda handle: handle._caller.load + handle._caller.others)
        for handle in alive:
            if handle is not chosen and handle._caller.others:
                handle._caller.others -= 1  # who is passed over says no more of it: that grows old
        return chosen._single

    def _drop_ended(self) -> None:
        """They get no calls any more; if none is left, the first says why."""
        ended = [handle for handle in self._handles if handle._caller.info.state == "ended"]
        if len(ended) == len(self._handles):
            return
        self._handles = [handle for handle in self._handles if handle not in ended]
        for handle in ended:
            info = handle._caller.info
            more = f"; .scale({len(self._handles) + 1}) starts another" if self._make is not None else ""
            told = f"{info.name or 'a replica of ' + self._name} {first_line(info)}"
            handle._caller.session.notices.say(f"{told}: {len(self._handles)} of them left{more}")

    def __len__(self) -> int:
        return len(self._handles)

    def __iter__(self) -> Any:
        """Each by itself: `for h in pool: h.load(weights)`."""
        return iter(list(self._handles))

    def scale(self, replicas: int) -> None:
        """Have so many. Those that are too many get no more calls, and end once they have answered."""
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
            raise ValueError(f"scale({replicas!r}): at least 1; .stop() ends them all.")
        self._drop_ended()
        alive = [handle for handle in self._handles if handle._caller.info.state != "ended"]
        if len(alive) < replicas and self._make is None:
            raise RuntimeError(
                f"Only who started {self._name} can have more of it: start(replicas={replicas}) there."
            )
        while len(alive) > replicas:
            alive.pop()._caller.retiring.begin()
        while self._make is not None and len(alive) < replicas:
            names = {handle._caller.info.name for handle in alive}
            free = next(number for number in count() if f"{self._name}/{number}" not in names)
            alive.append(self._make(free))
        self._handles = alive

    def stop(self) -> None:
        """End them all."""
        for handle in self._handles:
            handle.stop()

    def checkpoint(self) -> list[ActorFuture]:
        """Keep the state of each now: a Future each, of how many bytes that is."""
        return [handle.checkpoint() for handle in self._handles]

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise sealed("", f"A pool of {self._name}", name, value)
        object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return called(self, self._handles[0]._members())(*args, **kwargs)

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        first: Members = self._handles[0]._members()
        return method_of(self, first, name)

    def __dir__(self) -> list[str]:
        return sorted({"stop", "scale", *dir(self._handles[0])})

    def __repr__(self) -> str:
        states = [handle._caller.info.state for handle in self._handles]
        told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return f"<cellmesh actors {self._name}: {told}>"

    def __reduce__(self) -> Any:
        return Pool, (self._name, self._handles, None)
