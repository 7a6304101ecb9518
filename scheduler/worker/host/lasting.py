"""What of an actor outlives its process: its state, the marks of begun calls, the log of calls.

Owns the use of the actor's home, and the callers, whose numbers are part of that. Never decides when:
`host.py` does. Read next: `begun.py`, `checkpoints.py`, `replaying.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cellmesh.scheduler.wire.actors import HostActor
from cellmesh.scheduler.wire.direct import Answer, Call

from . import chance
from .begun import Begun, is_unmarked
from .callers import Caller, Entry
from .checkpoints import Checkpoints, load
from .deadly import Deadly
from .living import Living
from .replaying import LONG, Log, Logged

REMEMBERED = 1000
"""So many callers that hung up may come again, and no call of theirs runs twice."""


_ALL = (1 << 63) - 1
"""Higher than any number of a call."""

_LOG_ALONE = (
    " Until then the log of calls (replay=True) is all that there is: it grows with each call, and a call "
    "that was stopped counts as a whole after a death."
)


class NotBegunError(OSError):
    """A call could not be written down before it ran, so it did not run."""


class Lasting:
    """Of one actor. `note` tells people a line, `told` the hub when a checkpoint was written."""

    def __init__(
        self,
        order: HostActor,
        living: Living,
        note: Callable[[str], None],
        told: Callable[[float], None],
    ) -> None:
        options = order.options
        self._home = Path(order.home)
        self._told = told
        self._host_lost = is_unmarked(self._home, order.incarnation)
        self._unmarked = self._host_lost and not options.replay
        self.callers: dict[str, Caller] = {}
        self._gone: dict[str, int] = {}  # what was heard of forgotten callers, the longest gone first
        self._begun = Begun(self._home) if options.restarts and not options.replay else None
        self._log = Log(self._home) if options.replay else None
        self._replays = self._log is not None
        self._written: dict[str, Any] = {}
        self._again = 0  # calls that ran again as this life began
        self.checkpoints = Checkpoints(
            self._home,
            lambda: living.object,
            self._about,
            self._saved,
            note,
            background=options.restarts > 0 and options.checkpoint,
            may_fork=options.gpus == 0,
            so=_LOG_ALONE if options.replay else "",
        )

    def restored(self, kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The object in the state of its last checkpoint; None if there is none."""
        try:
            thing, self._written = load(self._home, kind, args, kwargs)
        except FileNotFoundError:
            return None
        if self._log is not None:
            self._log.begin_at(self._written.get("generation", 0))
        chance.put_back(self._written.get("chance", {}))
        for name, (done, kept) in self._written.get("callers", {}).items():
            caller = self.caller(name, name)
            caller.done = done
            caller.kept = {number: Answer(number, *answer) for number, answer in kept.items()}
        return thing

    @property
    def origin(self) -> str:
        """From which state this life goes on, for people."""
        again = f", and {self._again} calls that ran again" if self._again else ""
        if not self._written:
            none = ": none of its checkpoints is left" if self._host_lost else ": it had no checkpoint yet"
            return f"from the beginning{again or none}"
        at = time.strftime("%H:%M:%S", time.localtime(self._written["wall"]))
        return f"from its checkpoint of {at}{again}"

    def missed(self) -> Iterator[tuple[Entry, bool]]:
        """With replay: the calls that ran after the last checkpoint, to be run again; or (True) left out."""
        if self._log is None:
            return
        deadly = Deadly(self._home)
        for logged, last in _with_last(self._log.since(self._written.get("generation", 0))):
            caller = self.caller(logged.caller, logged.caller)
            caller.done = logged.call.number
            entry = Entry(caller, logged.call)
            entry.whole = logged.whole
            died = last and not self._log.has_ended(caller.id, entry.call.number)
            yield entry, deadly.leaves_out(caller.id, entry.call, died=died)
            deadly.ran()
            self._again += 1
        deadly.over()
        self._replays = False

    def caller(self, id: str, name: str) -> Caller:
        """Known, or new."""
        caller = self.callers.get(id)
        if caller is None:
            self._forget_gone()
            begins = self._begins if self._log is not None or self._begun is not None else None
            ends = self._ends if self._log is not None else None
            caller = self.callers[id] = Caller(id, name, begins, ends, self._others)
            caller.heard = self._gone.pop(id, 0)
            if self._log is not None:
                caller.kept = {}
        caller.name = name
        return caller

    def _others(self, asking: Caller) -> int:
        if len(self.callers) == 1:
            return 0
        return sum(caller.load for caller in list(self.callers.values()) if caller is not asking)

    def _forget_gone(self) -> None:
        """Those whose last call was answered after they had gone; with replay, the longest known of many."""
        gone = [one for one in self.callers.values() if one.road is None]
        for caller in gone:
            self.forget(caller)
        for caller in gone[:-REMEMBERED]:
            if not caller.running and not caller.waiting:
                self.callers.pop(caller.id, None)

    def forget(self, caller: Caller) -> None:
        """It is gone, as thousands of tasks go; what still runs, or counts in a replay, is kept."""
        if caller.kept is None and not caller.running and not caller.waiting:
            self.callers.pop(caller.id, None)
            self._gone[caller.id] = caller.heard
            if len(self._gone) > REMEMBERED:
                del self._gone[next(iter(self._gone))]

    def begun_before(self, caller: Caller) -> list[int]:
        """The highest number that an earlier life had begun of the caller's calls, if any."""
        if self._unmarked:
            return [_ALL]
        number = 0 if self._begun is None else self._begun.earlier.get(caller.id, 0)
        return [number] if number else []

    @property
    def busy(self) -> bool:
        """Whether any call runs. A stream that rests does not, unless a replay would lose its other half."""
        running = [entry for caller in list(self.callers.values()) for entry in list(caller.running.values())]
        if self._log is not None:
            return bool(running)
        return any(entry.stream is None or not entry.stream.resting for entry in running)

    def between(self, cut: bool) -> bool:
        """Between two calls: write down what no replay would lead to, or what would take it too long.

        False if that must wait: for calls that still run, or for room on the disk.
        """
        if self._log is not None and (cut or self._log.size > LONG):
            return not self.busy and self.checkpoints.save_if_possible()
        return True

    def _begins(self, caller: Caller, call: Call) -> None:
        try:
            if self._log is not None:
                if call.kind != "save":  # that is sent again, if its answer does not come
                    self._log.append(caller.id, call)
                    caller.done = call.number
            elif self._begun is not None:
                if caller.place < 0:
                    caller.place = self._begun.place_of(caller.id)
                self._begun.mark(caller.place, call.number)
        except OSError as error:
            raise NotBegunError(
                f"The call has not run: it is written down first, for the actor's restarts, and {self._home} "
                f"cannot be written to ({error.strerror}). Free some space there and call again; the actor "
                "lives on."
            ) from None

    def _ends(self, caller: Caller, number: int) -> None:
        if self._log is not None and not self._replays:
            self._log.ended(caller.id, number)

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = {"wall": time.time(), "chance": chance.taken()}
        if self._log is not None:
            about["generation"] = self._log.next_generation()
            about["callers"] = {
                caller.id: (
                    caller.done,
                    {each.number: (each.state, each.payload) for each in caller.unclaimed()},
                )
                for caller in list(self.callers.values())
            }
        return about

    def _saved(self, about: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.forget(about["generation"])
        self._told(about["wall"])


def _with_last(found: Iterator[Logged]) -> Iterator[tuple[Logged, bool]]:
    """Each, and whether it is the last."""
    before: Logged | None = None
    for each in found:
        if before is not None:
            yield before, False
        before = each
    if before is not None:
        yield before, True
