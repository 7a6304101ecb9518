"""A distributed cell as it travels: its source, where it stands, and which captured names it needs.

Owns the record `CellCode`, pickled as the payload of "cell" tasks and as the first blob of "over" tasks.
Never runs anything: `worker/` does. Read next: `namespaces.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellCode:
    """What a worker needs to run a cell as the notebook would."""

    source: str  # as typed, magics included (the worker's IPython transforms it)
    filename: str  # the notebook's name of the cell, so that tracebacks show its own lines
    line_offset: int  # lines of the cell above `source` (the magic line itself): 1
    names: tuple[tuple[str, str], ...]  # captured (name, digest of its blob): set before running if new
    item_name: str = ""  # for --over: the name each item gets
    cell_id: str = ""
    keep_value: bool = True  # send the last expression's value back: someone asked for it, or may
    show_result: bool = True  # display the last expression, as a notebook does


__all__ = ["CellCode"]
