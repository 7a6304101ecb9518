"""One file a contender: how it starts, and how it does each case.

Each has a class with the same methods; a missing method means that it cannot do the case.
Read next: `base.py`.
"""

from .base import Contender, load, names

__all__ = ["Contender", "load", "names"]
