"""Objects that a notebook shows as HTML and a terminal as text.

Owns the display protocol of `MeshView`, `JobsView` and `ActorsView`. Never changes after it is made: a view
is a picture of one moment. Read next: `viewmodel.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Generic, TypeVar

from cellmesh.scheduler.wire.messages import HubInfo

from . import html, text
from .viewmodel import ActorRow, JobRow, MeshRows, mesh_rows

T = TypeVar("T")
NO_ACTORS = "No actors; Model.start() of a class with @cm.actor starts one."


class _Shown:
    """Both forms of what it is."""

    def _repr_html_(self) -> str:
        raise NotImplementedError

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


class MeshView(_Shown):
    """What `%mesh` shows."""

    def __init__(self, hub: HubInfo, own: str) -> None:
        self.rows: MeshRows = mesh_rows(hub, own)

    def __repr__(self) -> str:
        return text.mesh(self.rows)

    def _repr_html_(self) -> str:
        return html.mesh(self.rows)


@dataclass(frozen=True, eq=False, repr=False)
class _ListView(_Shown, Sequence[T], Generic[T]):
    """A list that shows itself as a table."""

    items: tuple[T, ...]

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


@dataclass(frozen=True, eq=False, repr=False)
class JobsView(_ListView[T]):
    """What `cm.jobs()` returns."""

    rows: tuple[JobRow, ...]

    def __repr__(self) -> str:
        return text.jobs(self.rows)

    def _repr_html_(self) -> str:
        return html.jobs(self.rows)


@dataclass(frozen=True, eq=False, repr=False)
class ActorsView(_ListView[T]):
    """What `cm.actors()` returns, and `%mesh actors` shows."""

    rows: tuple[ActorRow, ...]

    def __repr__(self) -> str:
        return text.actors(self.rows) if self.rows else NO_ACTORS

    def _repr_html_(self) -> str:
        return html.actors(self.rows) if self.rows else f"<p>{escape(NO_ACTORS)}</p>"
