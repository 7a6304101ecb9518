"""What stands for a cell's last value that cannot travel.

Owns the record `Unpicklable`. The cell itself is fine; only somebody who asks for the value (`--out`) is
told. Never holds the value. Read next: `cells.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unpicklable:
    """A value that stayed on its worker."""

    type_name: str
    repr: str
    why: str = ""
