"""Which notebook cell is running, and how a launch remembers it.

Owns the record `Cell` (what output needs to find its way back) and its JSON form, which travels with the job
and survives the kernel. Never hooks into IPython: `stop.py` does. Read next: `stop.py`, `outputs.py`.
"""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cell:
    """One execution of one cell. Two runs of the same cell differ (`msg_id`)."""

    msg_id: str
    header: dict[str, Any]
    count: int | None = None
    live: bool = True  # the front end shows output that comes after the cell's end

    def to_json(self) -> str:
        record = {"header": self.header, "count": self.count, "live": self.live}
        return json.dumps(record, default=str)

    @property
    def label(self) -> str:
        """`[5]`, as the notebook numbers it."""
        return f"[{self.count}]" if self.count is not None else ""


def from_parent(parent: dict[str, Any], count: int | None) -> Cell | None:
    """The cell that an execute_request (its whole message) asked to run.

    JupyterLab, Notebook 7 and VS Code name their cell (`cellId`) and show what arrives after its end.
    nbclient, and so papermill, nbconvert and nbval, send no metadata and drop it.
    """
    header = parent.get("header")
    if not header or header.get("msg_type") != "execute_request":
        return None
    live = "cellId" in (parent.get("metadata") or {})
    return Cell(header["msg_id"], dict(header), count, live)


def from_json(text: str) -> Cell | None:
    """The launching cell of a job that another kernel launched; None if it was no cell."""
    if not text:
        return None
    record = json.loads(text)
    header = record["header"]
    return Cell(header["msg_id"], header, record["count"], record["live"])
