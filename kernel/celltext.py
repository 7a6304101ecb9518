"""The text of a distributed cell: where it stands in the notebook, and its syntax tree.

Owns `CellText`, with line numbers as the user sees them (the magic's line is line 1). Never runs anything,
except `--local`'s copy of the cell. Read next: `flow.py`, `launch.py`.
"""

import ast
import inspect
import sys
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError

from . import tracebacks

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True, slots=True)
class CellText:
    """A cell below its magic's line."""

    filename: str  # the kernel's own name of the cell: tracebacks and linecache know it
    source: str  # as typed, without the magic's line and empty lines at the top
    offset: int  # lines of the cell above `source`
    magic_line: int
    tree: ast.Module


def read(shell: Any, magic: str, line: str, body: str) -> CellText:
    """Find the cell in the notebook and parse it. A SyntaxError names the cell's own line."""
    filename, text, offset = _place(shell, magic, line, body)
    tracebacks.remember(filename, text)
    lines = body.splitlines(keepends=True)
    empty = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    source = "".join(lines[empty:])
    padded = "\n" * (offset + empty) + (shell.transform_cell(source) if source else "")
    tree = compile(padded, filename, "exec", _FLAGS | ast.PyCF_ONLY_AST, dont_inherit=True)
    # What only the compiler finds (`return` outside a function) is an error before anything runs, too.
    compile(padded, filename, "exec", _FLAGS, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return CellText(filename, source, offset + empty, offset, tree)


def _place(shell: Any, magic: str, line: str, body: str) -> tuple[str, str, int]:
    """(file name, whole text, lines above the body)."""
    frame = sys._getframe()
    name = ""
    while frame is not None and not name:
        known = getattr(shell.compile, "_filename_map", {})
        if frame.f_globals is shell.user_ns and (not known or frame.f_code.co_filename in known):
            name = frame.f_code.co_filename
        frame = frame.f_back  # type: ignore[assignment]
    raw = _raw_cell(shell)
    above = next((i + 1 for i, text in enumerate(raw.splitlines()) if text.lstrip().startswith("%%")), 0)
    if name and above and raw.splitlines()[above:] == body.splitlines():
        return name, raw, above
    # Called by other means than a cell's first line: it gets a text of its own.
    text = f"{magic} {line}\n{body}"
    return shell.compile.cache(text, shell.execution_count), text, 1


def _raw_cell(shell: Any) -> str:
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        code = kernel.get_parent("shell").get("content", {}).get("code")
        if isinstance(code, str):
            return code
    history = getattr(shell.history_manager, "input_hist_raw", None)
    return str(history[-1]) if history else ""


def check_local(cell: CellText) -> None:
    """Whether the cell can also run here, inside a magic."""
    if compile(cell.tree, cell.filename, "exec", _FLAGS).co_flags & inspect.CO_COROUTINE:
        raise UsageError("--local cannot run a top-level await; leave --local out, or use asyncio.run(...)")


def run_local(cell: CellText, namespace: dict[str, Any]) -> None:
    """Run the cell in the notebook itself, its last expression shown as usual."""
    body = list(cell.tree.body)
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), cell.filename, "exec"), namespace)  # noqa: S102 - the user's cell
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), cell.filename, "eval"), namespace)  # noqa: S307
        sys.displayhook(value)
