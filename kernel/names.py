"""The names that code uses: a cell's, as `flow.py` reads them, and a compiled function's.

Owns the record `CellNames`, and the names in code objects. Never looks at values or workers.
Read next: `flow.py`, `capture.py`.
"""

import ast
import dis
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType

_CATCHES_NAME_ERRORS = ("NameError", "Exception", "BaseException", "suppress", "raises", "ignored")


@dataclass(slots=True)
class CellNames:
    """What a cell reads and binds at its own scope."""

    reads: dict[str, int] = field(default_factory=dict)
    """Names the cell needs from outside, and the line of the first use."""
    certain: dict[str, int] = field(default_factory=dict)
    """Those of `reads` whose absence is sure to be a NameError, and the line where it would be."""
    soft: set[str] = field(default_factory=set)
    """Names that may not be needed after all: used before the cell binds them only in some orders."""
    bound: set[str] = field(default_factory=set)
    """Names that the cell may assign, whatever way it goes."""
    opaque: bool = False
    """The cell may bind names that cannot be seen: `import *`, `exec`, a magic."""


def of_code(code: CodeType) -> set[str]:
    """Global names that a function's code refers to, nested functions included."""
    found: set[str] = set()
    for nested in _codes(code):
        found.update(_reads(nested))
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _reads(code: CodeType) -> Iterator[str]:
    stored: set[str] = set()  # at class scope, a name that was stored first is the class's own
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"):
            yield str(step.argval)
        elif step.opname == "STORE_NAME":
            stored.add(step.argval)
        elif step.opname == "LOAD_NAME" and step.argval not in stored:
            yield str(step.argval)


def globals_bound(code: CodeType) -> Iterator[str]:
    for nested in _codes(code):
        for step in dis.get_instructions(nested):
            if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                yield str(step.argval)


def leaves_loop(node: ast.AST) -> bool:
    """Whether a `break` or `continue` in it belongs to the loop around it."""
    if isinstance(node, (ast.Break, ast.Continue)):
        return True
    if isinstance(
        node, (ast.For, ast.AsyncFor, ast.While, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    ):
        return any(leaves_loop(child) for child in getattr(node, "orelse", ()))
    return any(leaves_loop(child) for child in ast.iter_child_nodes(node))


def may_catch(node: ast.expr) -> bool:
    """Whether an `except` or a context manager of this kind may swallow a NameError."""
    return any(
        (isinstance(part, ast.Name) and part.id in _CATCHES_NAME_ERRORS)
        or (isinstance(part, ast.Attribute) and part.attr in _CATCHES_NAME_ERRORS)
        for part in ast.walk(node)
    )
