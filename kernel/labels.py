"""Several workers' text on one stream: every line says whose it is, and no two are mixed.

Owns `Lines`, pure text in, text out. Never publishes. At most one unfinished line is on screen at a time (a
progress bar's, say); unfinished lines of other workers wait until they are whole. Read next: `outputs.py`.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

_HELD_LIMIT = 4096


Whose = int | str | None
"""A worker of the mesh, an actor, or a task worker."""


def label_of(workers: Iterable[Whose]) -> str:
    """`[0-2,5] ` for several workers, `[llm] ` for an actor, "" for a task worker.

    >>> label_of([0]), label_of([2, 0, 1, 5]), label_of([None])
    ('[0] ', '[0-2,5] ', '')
    """
    whose = set(workers)
    numbers = sorted(worker for worker in whose if isinstance(worker, int))
    names = sorted(worker for worker in whose if isinstance(worker, str))
    if not (numbers or names):
        return ""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = []
    for run in runs:
        if len(run) > 2:
            parts.append(f"{run[0]}-{run[-1]}")
        else:
            parts += [str(number) for number in run]
    return f"[{','.join(parts + names)}] "


@dataclass(slots=True)
class Lines:
    """One stream of one cell."""

    owner: Hashable | None = None  # whose unfinished line is on screen
    shown: str = ""  # that line as it stands
    held: dict[Hashable, str] = field(default_factory=dict)  # unfinished lines of the others

    def feed(self, key: Hashable, label: str, text: str) -> str:
        """What to write so that `text` of `key` appears, labelled."""
        text = (self.held.pop(key, "") + text).replace("\r\n", "\n")
        head, newline, tail = text.rpartition("\n")
        whole = head + newline
        if self.owner is not None and self.owner != key:
            out = self._between(_labelled(whole, label)) if whole else ""
            if not tail:
                return out
            if self.owner is not None:
                self._hold(key, tail)
                return out
            return out + self._open(key, label, tail)
        if self.owner is None:
            return _labelled(whole, label) + (self._open(key, label, tail) if tail else "")
        # `key` goes on with its own line
        if whole:
            first, _, rest = whole.partition("\n")
            out = _continued(first, label) + "\n" + _labelled(rest, label)
            self.owner, self.shown = None, ""
            return out + (self._open(key, label, tail) if tail else "")
        out = _continued(tail, label)
        self.shown = (self.shown + out).rpartition("\r")[2]
        return out

    def end(self, key: Hashable, label: str) -> str:
        """What to write as `key` will say no more for now: its unfinished line is finished."""
        if self.owner == key or key in self.held:
            return self.feed(key, label, "\n")
        return ""

    def _open(self, key: Hashable, label: str, tail: str) -> str:
        out = _labelled(tail, label)
        self.owner, self.shown = key, out.rpartition("\r")[2]
        return out

    def _hold(self, key: Hashable, tail: str) -> None:
        last = tail.rstrip("\r").rpartition("\r")[2]  # of a progress bar only its latest state counts
        self.held[key] = last[-_HELD_LIMIT:]

    def _between(self, lines: str) -> str:
        """Whole lines of another worker while `owner`'s line is unfinished: it moves below them."""
        first, _, rest = lines.partition("\n")
        return f"\r{first.ljust(len(self.shown))}\n{rest}{self.shown}"


def _labelled(text: str, label: str) -> str:
    """`text`, which begins at the start of a line, with a label on every line."""
    if not label or not text:
        return text
    body, newline = (text[:-1], "\n") if text.endswith("\n") else (text, "")
    return "\n".join(_restarted(line, label) for line in body.split("\n")) + newline


def _restarted(line: str, label: str) -> str:
    """One line from its start; a carriage return starts it again, so the label comes again."""
    if "\r" not in line:
        return label + line
    return "\r".join(label + part if part else "" for part in line.split("\r"))


def _continued(text: str, label: str) -> str:
    """Text that goes on with an unfinished line."""
    first, *again = text.split("\r")
    return "\r".join([first, *(label + part if part else "" for part in again)])
