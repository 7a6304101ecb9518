"""A distributed cell, compiled once: its body, its last expression, and the names it assigns.

Owns how source becomes code with the notebook's own line numbers. Never keeps a namespace. Read next:
`runner.py`.
"""

import ast
import inspect
import io
import linecache
import tokenize
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import CodeType
from typing import Any

from cellmesh.scheduler.objects.cells import CellCode

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True, slots=True)
class CompiledCell:
    """Code ready to run in any namespace."""

    body: CodeType | None
    last: CodeType | None  # the last expression, if the cell ends with one
    shows: bool  # no semicolon hides it
    stores: frozenset[str]  # names that the cell assigns

    def run(self, namespace: dict[str, Any], wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> Any:
        """Run it; the value of the last expression, or None."""
        if self.body is not None:
            _evaluate(self.body, namespace, wait)
        return None if self.last is None else _evaluate(self.last, namespace, wait)


def _evaluate(
    code: CodeType, namespace: dict[str, Any], wait: Callable[[Coroutine[Any, Any, Any]], Any]
) -> Any:
    value = eval(code, namespace)  # noqa: S307 - running the user's code is the purpose
    return wait(value) if code.co_flags & inspect.CO_COROUTINE else value


def compile_cell(cell: CellCode, transform: Callable[[str], str]) -> CompiledCell:
    """Compile; a SyntaxError names the cell's own line."""
    source = padded(cell, transform(cell.source))
    # No mtime: linecache then never looks for the file, which does not exist.
    linecache.cache[cell.filename] = (len(source), None, source.splitlines(keepends=True), cell.filename)
    # compile(), not ast.parse(): that one would put a frame of its own into the SyntaxError's traceback.
    tree = compile(source, cell.filename, "exec", ast.PyCF_ONLY_AST | _FLAGS, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    stores = frozenset(_stores(tree))
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        expression = tree.body.pop()
        assert isinstance(expression, ast.Expr)
        last = compile(ast.Expression(expression.value), cell.filename, "eval", _FLAGS, dont_inherit=True)
    body = compile(tree, cell.filename, "exec", _FLAGS, dont_inherit=True) if tree.body else None
    return CompiledCell(body, last, cell.show_result and not _hidden(source), stores)


def padded(cell: CellCode, source: str) -> str:
    """The source with empty lines for what stands above it in the notebook's cell."""
    lines = cell.source.splitlines()
    above = next((i for i, line in enumerate(lines) if line.strip()), 0)  # IPython drops leading empty lines
    kept = source.splitlines()
    above -= next((i for i, line in enumerate(kept) if line.strip()), 0)
    return "\n" * (cell.line_offset + max(0, above)) + source


def _hidden(source: str) -> bool:
    """Whether the last expression ends with a semicolon."""
    skipped = {tokenize.ENDMARKER, tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.DEDENT}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in skipped]
    return bool(tokens) and tokens[-1].string == ";"


def _stores(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for statement in tree.body:
        _collect(statement, names)
    return names


def _collect(node: ast.AST, names: set[str]) -> None:
    """Names that running `node` at the cell's level assigns there."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            names.add(node.name)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Global):
                    names.update(inner.names)
            return
        case ast.Lambda():
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for inner in ast.walk(node):  # its own targets stay inside; a walrus does not
                if isinstance(inner, ast.NamedExpr):
                    names.add(inner.target.id)
            return
        case ast.Name(id=name, ctx=ast.Store()):
            names.add(name)
        case ast.Import() | ast.ImportFrom():
            names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
            names.discard("*")
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            names.add(name)
    for child in ast.iter_child_nodes(node):
        _collect(child, names)
