"""The table of actors that `cm.actors()` returns and `%mesh actors` shows.

Owns the list that it is as well. Never asks anyone anything. Read next: `viewmodel.py`, `text.py`,
`html.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Generic, TypeVar

from . import html, text
from .viewmodel import ActorRow

T = TypeVar("T")
NONE = "No actors; Model.start() of a class with @cm.actor starts one."


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
        return text.actors(self.rows) if self.rows else NONE

    def _repr_html_(self) -> str:
        return html.actors(self.rows) if self.rows else f"<p>{escape(NONE)}</p>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
