"""What the workers have shown in one cell, so that one worker's `clear_output` clears only its own.

Owns `Pane`: a bounded record of a cell's remote output, and writing it. Never knows jobs or engines.
Read next: `labels.py`, `outputs.py`.
"""

from collections.abc import Hashable, Set
from dataclasses import dataclass, field
from typing import Any

from .cells import Cell
from .labels import Lines, Whose, label_of
from .publishing import Publisher

RECORD_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to show. `source` tells apart whose line it is; `workers` label it (several if merged)."""

    source: tuple[Any, ...]
    workers: tuple[Whose, ...]
    kind: str  # stdout, stderr, display, update, result, clear, note; "end": the source's task is over
    text: str = ""
    bundle: dict[str, Any] = field(default_factory=dict)  # data, metadata, transient
    size: int = 0


class Pane:
    """The remote output of one cell."""

    def __init__(self, cell: Cell | None, publisher: Publisher) -> None:
        self.cell = cell
        self._publisher = publisher
        self._lines = {"stdout": Lines(), "stderr": Lines()}
        self._record: list[Entry] = []
        self._recorded = 0
        self._dropped = False
        self._clearing: set[Whose] = set()  # will clear what they showed as they show something new

    def show(self, entries: list[Entry]) -> None:
        """Show entries, equal text of several workers once."""
        text: dict[str, list[str]] = {"stdout": [], "stderr": []}
        for entry in merged(_after_clears(entries), self._unfinished()):
            if entry.kind == "clear":
                self._flush(text)
                self._clear(entry)
                continue
            if entry.kind != "end" and self._clearing & set(entry.workers):
                self._flush(text)
                for worker in set(entry.workers) & self._clearing:
                    self._remove(worker, wait=True)
            self._remember(entry)
            self._emit(entry, text)
        self._flush(text)

    def _unfinished(self) -> set[Hashable]:
        found: set[Hashable] = set()
        for lines in self._lines.values():
            found.update(lines.held)
            if lines.owner is not None:
                found.add(lines.owner)
        return found

    def _emit(self, entry: Entry, text: dict[str, list[str]]) -> None:
        label = label_of(entry.workers)
        if entry.kind in ("stdout", "stderr"):
            self._other(entry.kind, text)
            text[entry.kind].append(self._lines[entry.kind].feed(entry.source, label, entry.text))
        elif entry.kind == "end":
            for name, lines in self._lines.items():
                text[name].append(lines.end(entry.source, label))
        elif entry.kind == "note":
            self._line(entry, label, entry.text, text)
        else:
            self._rich(entry, label, text)

    def _line(self, entry: Entry, label: str, line: str, text: dict[str, list[str]]) -> None:
        self._other("stdout", text)
        lines = self._lines["stdout"]
        text["stdout"].append(lines.end(entry.source, label) + lines.feed(("line",), label, line + "\n"))

    def _rich(self, entry: Entry, label: str, text: dict[str, list[str]]) -> None:
        data = dict(entry.bundle.get("data", {}))
        metadata = entry.bundle.get("metadata") or {}
        transient = entry.bundle.get("transient") or {}
        plain = str(data.get("text/plain", ""))
        update = entry.kind == "update"
        out = "Out: " if entry.kind == "result" else ""
        if set(data) <= {"text/plain"} and not transient.get("display_id"):
            self._line(
                entry, label, out.rstrip() + "\n" + plain if out and "\n" in plain else out + plain, text
            )
            return
        if set(data) <= {"text/plain"}:
            data["text/plain"] = label + plain
        elif label and not update:
            self._line(entry, label, out.rstrip(), text)
        self._flush(text)
        self._publisher.display(self.cell, data, metadata, transient, update=update)

    def _other(self, name: str, text: dict[str, list[str]]) -> None:
        """Text of the other stream comes first: order across the two is kept."""
        other = "stderr" if name == "stdout" else "stdout"
        if text[other]:
            self._flush(text)

    def _flush(self, text: dict[str, list[str]]) -> None:
        for name, parts in text.items():
            whole = "".join(parts)
            if whole:
                self._publisher.stream(self.cell, name, whole)
            parts.clear()

    # --- clear_output -------------------------------------------------------------------------------

    def _remember(self, entry: Entry) -> None:
        if entry.kind == "update":
            self._replace(entry)
            return
        self._record.append(entry)
        self._recorded += entry.size + 64
        while self._recorded > RECORD_LIMIT and len(self._record) > 1:
            self._recorded -= self._record.pop(0).size + 64
            self._dropped = True

    def _replace(self, entry: Entry) -> None:
        """An update changes what its display shows when it is shown again."""
        wanted = (entry.bundle.get("transient") or {}).get("display_id")
        for index, old in enumerate(self._record):
            if (old.bundle.get("transient") or {}).get("display_id") == wanted and wanted:
                self._record[index] = Entry(old.source, old.workers, old.kind, "", entry.bundle, entry.size)

    def _clear(self, entry: Entry) -> None:
        for worker in entry.workers:
            if entry.text == "wait":
                self._clearing.add(worker)
            else:
                self._remove(worker, wait=False)

    def _remove(self, worker: Whose, *, wait: bool) -> None:
        self._clearing.discard(worker)
        left = []
        for old in self._record:
            workers = tuple(other for other in old.workers if other != worker)
            if workers:
                left.append(Entry(old.source, workers, old.kind, old.text, old.bundle, old.size))
        self._publisher.clear(self.cell, wait or bool(left))
        self._record, self._recorded = [], 0
        self._lines = {"stdout": Lines(), "stderr": Lines()}
        text: dict[str, list[str]] = {"stdout": [], "stderr": []}
        if self._dropped and left:
            text["stdout"].append("… earlier output is in %mesh logs …\n")
        for old in left:
            self._remember(old)
            self._emit(old, text)
        self._flush(text)


def _after_clears(entries: list[Entry]) -> list[Entry]:
    """Without what a worker showed and cleared again within the same burst."""
    cleared: set[tuple[Whose, ...]] = set()
    kept = []
    for entry in reversed(entries):
        if entry.workers in cleared and entry.kind not in ("end", "update"):
            continue
        if entry.kind == "clear" and not entry.text:
            cleared.add(entry.workers)
        kept.append(entry)
    return kept[::-1]


def merged(entries: list[Entry], unfinished: Set[Hashable] = frozenset()) -> list[Entry]:
    """Entries with neighbours joined, and what several workers said alike said once.

    Workers that have a line on screen which they have not finished go on with it by themselves.
    """
    by_worker: dict[tuple[Whose, ...], list[Entry]] = {}
    for entry in entries:
        by_worker.setdefault(entry.workers, []).append(entry)
    if len(by_worker) < 2:
        return joined(entries)
    groups: dict[tuple[tuple[str, str], ...], list[tuple[Whose, ...]]] = {}
    for workers, said in by_worker.items():
        by_worker[workers] = said = joined(said)
        if _mergeable(said) and unfinished.isdisjoint(entry.source for entry in said):
            alike = tuple((entry.kind, _plain(entry)) for entry in said if entry.kind != "end")
            groups.setdefault(alike, []).append(workers)
    speakers: dict[tuple[Whose, ...], list[Entry]] = {}  # whoever speaks for a group, and what it says
    silent: set[tuple[Whose, ...]] = set()
    for alike, members in groups.items():
        if len(members) > 1 and alike:
            everyone = tuple(worker for workers in members for worker in workers)
            said = [entry for entry in by_worker[members[0]] if entry.kind != "end"]
            speakers[members[0]] = [_said_by(everyone, entry) for entry in said]
            silent.update(members)
    shown: list[Entry] = []
    for entry in entries:
        if entry.workers in speakers:
            shown += speakers.pop(entry.workers)
        elif entry.workers not in silent:
            shown.append(entry)
    return joined(shown)


def joined(entries: list[Entry]) -> list[Entry]:
    """Neighbouring text of one source as one entry."""
    found: list[Entry] = []
    for entry in entries:
        last = found[-1] if found else None
        if (
            last
            and entry.kind in ("stdout", "stderr")
            and (last.source, last.kind) == (entry.source, entry.kind)
        ):
            size = last.size + entry.size
            found[-1] = Entry(last.source, last.workers, last.kind, last.text + entry.text, {}, size)
        else:
            found.append(entry)
    return found


def _said_by(workers: tuple[Whose, ...], entry: Entry) -> Entry:
    text = entry.text
    if entry.kind in ("stdout", "stderr") and not text.endswith("\n"):
        text += "\n"  # their tasks are over: the line is finished
    return Entry(("merged", *workers), workers, entry.kind, text, entry.bundle, entry.size)


def _mergeable(said: list[Entry]) -> bool:
    """Only whole lines and plain results are compared."""
    texts = [entry for entry in said if entry.kind in ("stdout", "stderr")]
    ends = said[-1].kind == "end"
    for entry in said:
        if entry.kind == "end":
            continue
        if entry.workers == (None,) or entry.kind not in ("stdout", "stderr", "result", "display"):
            return False
        if entry.kind in ("stdout", "stderr"):
            if "\r" in entry.text or not (entry.text.endswith("\n") or (ends and entry is texts[-1])):
                return False
        elif set(entry.bundle.get("data", {})) != {"text/plain"} or (entry.bundle.get("transient") or {}).get(
            "display_id"
        ):
            return False
    return True


def _plain(entry: Entry) -> str:
    return entry.text or str(entry.bundle.get("data", {}).get("text/plain", ""))
