"""What a cell needs from the notebook, pickled by name.

Owns which values go with a cell and whose value wins. Never keeps what it saw: a value is pickled again each
time, and unchanged means an equal digest. It touches the engine only in `Captured.put`, after all checks.
Read next: `flow.py` (what a cell reads), `blame.py` (what cannot be pickled), `launch.py`.
"""

import builtins
import re
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cellmesh.scheduler.engines.contract import Engine
from cellmesh.scheduler.objects import codec, makers, namespaces
from cellmesh.scheduler.objects.codec import CannotPickleError, Persist
from cellmesh.scheduler.wire.messages import Payload, Ref

from . import blame
from .futures import Future
from .names import CellNames, of_code

ANNOUNCE = 10_000_000

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, types.ModuleType)
_INJECTED = frozenset(("In", "Out", "get_ipython", "display", "exit", "quit"))
_HISTORY = re.compile(r"_+[ioh]*\d*|_dh|__\w+__")


@dataclass(frozen=True, slots=True)
class Notebook:
    """Where values come from."""

    namespace: dict[str, Any]
    hidden: Mapping[str, Any] = field(default_factory=dict)  # what IPython put there, not the user

    def has(self, name: str) -> bool:
        return name in self.namespace and not self.injects(name)

    def injects(self, name: str) -> bool:
        """Whether this is IPython's, which a worker has its own of."""
        if name in _INJECTED or _HISTORY.fullmatch(name):
            return True
        return name in self.hidden and self.namespace.get(name) is self.hidden[name]


@dataclass(frozen=True, slots=True)
class Entry:
    """One captured value."""

    name: str
    payload: Payload
    digest: str
    kept_by: frozenset[int] = frozenset()  # workers that use their own value instead


@dataclass(slots=True)
class Captured:
    """All that goes with a cell, and what to say about it."""

    entries: list[Entry] = field(default_factory=list)
    workers_own: list[str] = field(default_factory=list)  # data that the notebook has too, and is not sent

    def names_for(self, worker: int | None) -> tuple[tuple[str, str], ...]:
        """(name, digest) of what this worker is to have; None: any worker."""
        return tuple((entry.name, entry.digest) for entry in self.entries if worker not in entry.kept_by)

    def mixed(self) -> list[Entry]:
        """Values that some workers keep their own of, and others do not have."""
        return [entry for entry in self.entries if entry.kept_by]

    def put(self, engine: Engine, last: dict[str, str]) -> None:
        """Hand everything to the engine. `last`: the digest that each name was captured with before.

        A content that no name stands for any more is dropped, or a table that changes in every cell would
        pile up in shared memory; the engine keeps it as long as a running task needs it.
        """
        outdated = []
        for entry in self.entries:
            engine.put_blob(entry.payload, entry.digest)
            before = last.get(entry.name)
            if before is not None and before != entry.digest:
                outdated.append(before)
            last[entry.name] = entry.digest
        for digest in set(outdated).difference(last.values()):
            engine.drop_blob(digest)

    def discard(self) -> None:
        """Take back the segments of a cell that is not launched after all."""
        for entry in self.entries:
            if isinstance(entry.payload, Ref):
                makers.freed([entry.payload.name])


@dataclass(frozen=True, slots=True)
class Missing:
    """A name that is nowhere, and where the cell reads it."""

    name: str
    line: int
    lacking: tuple[int, ...]  # workers

    def error(self, total: int) -> NameError:
        lacking = [str(number) for number in self.lacking]
        if len(lacking) == total:
            where = "neither the notebook nor any of these workers has it"
        else:
            which = f"worker {lacking[0]}" if len(lacking) == 1 else f"workers {', '.join(lacking)}"
            where = (
                f"the notebook does not have it, and {which} {'lacks' if len(lacking) == 1 else 'lack'} it"
            )
        return NameError(f"name {self.name!r} is not defined ({where})", name=self.name)


def capture(
    used: CellNames,
    notebook: Notebook,
    owned: Mapping[str, Collection[int]],
    workers: Sequence[int],
    *,
    own: Collection[str] = (),
    push: Iterable[str] = (),
    prefix: str = "",
    persist: Persist | None = None,
) -> Captured:
    """Pickle what the cell uses. `owned`: names that distributed cells assigned, and on which workers.

    `own` names are the cell's alone (the item of `--over`). Raises CannotPickleError with a `line` attribute.
    """
    catcher = _Catcher(notebook, persist, prefix)
    captured = Captured()
    pushed = set(push)
    soft = (used.soft | (used.bound - set(used.reads))) - pushed
    queue: list[tuple[str, str, int]] = [
        (name, f"`{name}`", line) for name, line in used.reads.items() if name not in own
    ]
    queue += [(name, f"`{name}`", 1) for name in pushed if name not in used.reads]
    done: set[str] = set()
    try:
        while queue:
            name, path, line = queue.pop()
            if name in done or not notebook.has(name):
                continue
            done.add(name)
            value = notebook.namespace[name]
            kept_by: frozenset[int] = frozenset()
            if name not in pushed and not _follows_notebook(value):
                kept_by = frozenset(owned.get(name, ())).intersection(workers)
                if kept_by:
                    captured.workers_own.append(name)
                if len(kept_by) == len(workers):
                    continue
            try:
                payload = catcher.dump(value)
            except MemoryError:
                raise  # no room in shared memory: it says so itself
            except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it is explained
                if name in soft:
                    continue  # the cell binds this name itself before it needs it, in all likelihood
                if isinstance(value, Future) and value.failed():
                    why = f"{type(error).__name__}: {error}"
                    failed = CannotPickleError(f"{path} has no value to send: its call failed with {why}")
                else:
                    failed = blame.explain(path, value, error, catcher.try_dump)
                failed.line = line  # type: ignore[attr-defined]
                raise failed from None
            captured.entries.append(Entry(name, payload, codec.digest(payload), kept_by))
            queue += [(other, f"{path} -> global `{other}`", line) for other in catcher.referred()]
    except BaseException:
        captured.discard()
        raise
    return captured


def missing(
    used: CellNames,
    notebook: Notebook,
    owned: Mapping[str, Collection[int]],
    workers: Sequence[int],
    own: Collection[str] = (),
) -> Missing | None:
    """The first name that is sure to be a NameError on some worker."""
    for name, line in sorted(used.certain.items(), key=lambda pair: pair[1]):
        if name in own or name in notebook.namespace or notebook.injects(name) or hasattr(builtins, name):
            continue
        lacking = tuple(number for number in workers if number not in owned.get(name, ()))
        if lacking:
            return Missing(name, line, lacking)
    return None


def show_size(size: int) -> str:
    """Bytes for people.

    >>> show_size(1_234_000_000)
    '1.2 GB'
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _follows_notebook(value: Any) -> bool:
    """Functions, classes and imports are the notebook's; everything else is data."""
    return (
        isinstance(value, _FUNCTIONS)
        or (callable(value) and hasattr(type(value), "__wrapped__"))
        or (callable(value) and "__wrapped__" in getattr(value, "__dict__", ()))
    )


class _Catcher:
    """Pickles values, and notes which of the notebook's functions went by."""

    def __init__(self, notebook: Notebook, persist: Persist | None, prefix: str) -> None:
        self._namespace = notebook.namespace
        self._persist = persist
        self._prefix = prefix
        self._seen: list[types.CodeType] = []

    def dump(self, value: Any) -> Payload:
        return namespaces.dumps(value, self._namespace, self._prefix, persist=self._watch)

    def try_dump(self, value: Any) -> Payload:
        return namespaces.dumps(value, self._namespace, persist=self._persist)

    def referred(self) -> set[str]:
        """Globals of the functions that went by since the last time, methods of classes included."""
        found: set[str] = set()
        while self._seen:
            found |= of_code(self._seen.pop())
        return found

    def _watch(self, obj: Any) -> Payload | None:
        # Every object that is pickled comes by here, so no function can hide in a container or a class.
        if type(obj) is types.FunctionType and obj.__globals__ is self._namespace:
            self._seen.append(obj.__code__)
        return self._persist(obj) if self._persist is not None else None
