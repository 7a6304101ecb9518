"""The table of actors: rows, and the view that `cm.actors()` returns and `%mesh actors` shows.

Owns what is said of an actor in one line. Never asks anyone anything. Read next: `viewmodel.py`, `text.py`,
`html.py`.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Generic, TypeVar

from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.direct import Facts

from . import html, text
from .viewmodel import MEGABYTE

T = TypeVar("T")
HEADS = ("name", "class", "state", "pid", "gpus", "memory", "calls", "checkpoint", "started by")
NONE = "No actors; Model.start() of a class with @cm.actor starts one."


@dataclass(frozen=True, slots=True)
class ActorRow:
    name: str
    title: str
    state: str
    pid: str
    gpus: str
    memory: str  # of its GPUs, that it holds
    calls: str
    checkpoint: str
    starter: str

    def cells(self) -> tuple[str, ...]:
        """In the order of `HEADS`."""
        return (
            self.name, self.title, self.state, self.pid, self.gpus, self.memory, self.calls, self.checkpoint,
            self.starter,
        )  # fmt: skip


def actor_row(info: ActorInfo, facts: Facts | None) -> ActorRow:
    """What the hub says of it, and what it says of itself if it answered."""
    calls = memory = checkpoint = "-"
    if facts is not None:
        calls = f"{facts.done} done" + (f", {facts.queued} queued" if facts.queued else "")
        if facts.gpu_memory:
            memory = f"{facts.gpu_memory / MEGABYTE:,.0f} MB"
        if facts.checkpoint:
            checkpoint = time.strftime("%H:%M:%S", time.localtime(facts.checkpoint))
        elif facts.note:
            checkpoint = facts.note
    state = info.state + (f" (restart {info.incarnation - 1})" if info.incarnation > 1 else "")
    if info.state == "waiting" and info.why:
        state = f"waiting: {info.why}"
    return ActorRow(
        name=(info.name or "-") + (" (detached)" if info.options.detached else ""),
        title=info.title,
        state=state,
        pid=str(info.pid or "-"),
        gpus=", ".join(info.gpus) or "-",
        memory=memory,
        calls=calls,
        checkpoint=checkpoint,
        starter=" ".join(filter(None, (info.starter, info.cell))) or "-",
    )


@dataclass(frozen=True, eq=False)
class ActorsView(Sequence[T], Generic[T]):
    """A list of handles that shows itself as a table."""

    items: tuple[T, ...]
    rows: tuple[ActorRow, ...]

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __repr__(self) -> str:
        return text.table(HEADS, _cells(self.rows)) if self.rows else NONE

    def _repr_html_(self) -> str:
        return html.table(HEADS, _cells(self.rows)) if self.rows else f"<p>{escape(NONE)}</p>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _cells(rows: Iterable[ActorRow]) -> list[tuple[str, ...]]:
    return [row.cells() for row in rows]
