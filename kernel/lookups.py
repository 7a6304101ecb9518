"""Which names of its module a piece of code looks up: its globals, and not the attributes that it names.

Owns that one question. Read next: `blame.py`, `actors/digest.py`.
"""

import dis
import types
from collections.abc import Iterator

_LOOKS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


def names(code: types.CodeType) -> Iterator[str]:
    """Names that the code, and code inside of it, looks up globally.

    >>> list(names(compile("a.b(c)", "", "exec")))
    ['a', 'c']
    """
    for step in dis.get_instructions(code):
        if step.opname in _LOOKS:
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names(constant)
