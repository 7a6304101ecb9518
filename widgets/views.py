"""Objects that a notebook shows as HTML and a terminal as text.

Owns the display protocol of `MeshView` and `JobsView`. Never changes after it is made: a view is a picture
of one moment. Read next: `viewmodel.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cellmesh.scheduler.wire.messages import HubInfo

from . import html, text
from .viewmodel import JobRow, MeshRows, mesh_rows

T = TypeVar("T")


class MeshView:
    """What `%mesh` shows."""

    def __init__(self, hub: HubInfo, own: str) -> None:
        self.rows: MeshRows = mesh_rows(hub, own)

    def __repr__(self) -> str:
        return text.mesh(self.rows)

    def _repr_html_(self) -> str:
        return html.mesh(self.rows)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


@dataclass(frozen=True, eq=False)
class JobsView(Sequence[T], Generic[T]):
    """What `cm.jobs()` returns: a list of jobs that shows itself as a table."""

    items: tuple[T, ...]
    rows: tuple[JobRow, ...]

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __repr__(self) -> str:
        return text.jobs(self.rows)

    def _repr_html_(self) -> str:
        return html.jobs(self.rows)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
