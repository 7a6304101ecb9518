"""Which names a cell uses, and which of them it is sure to use: from its source alone.

Owns the reading of a cell's syntax tree, in the order in which it would run. Never looks at values or
workers. The rule for `certain` is that a false alarm is worse than a missed one: a name is certain only if
the cell cannot end well without it. Read next: `names.py`, `capture.py`.
"""

import ast
import re
from collections.abc import Iterable
from types import CodeType

from .names import CellNames, globals_bound, leaves_loop, may_catch, of_code

_WORD = re.compile(r"[^\W\d]\w*")
_IN_SHELL = re.compile(r"[{$]\s*([^\W\d]\w*)")
_TEXTS = {
    "run_line_magic": _WORD,
    "run_cell_magic": _WORD,
    "exec": _WORD,
    "eval": _WORD,
    "system": _IN_SHELL,
    "getoutput": _IN_SHELL,
}
"""Calls whose text may use names, and what a name looks like there."""
_OPAQUE = ("globals", "locals", "vars", "get_ipython", "setattr", "__import__")


def of_cell(tree: ast.Module) -> CellNames:
    """Read a whole cell (already transformed, so without magics).

    >>> names = of_cell(ast.parse("y = x + 1\\nprint(y, len(z))"))
    >>> sorted(names.reads), sorted(names.bound)
    (['len', 'print', 'x', 'z'], ['y'])
    """
    reader = _Reader()
    reader.block(tree.body)
    names = reader.names
    for name, line in reader.nested.items():
        if name not in names.reads and (name in names.bound or name in reader.words):
            names.soft.add(name)
        names.reads.setdefault(name, line)
    return names


class _Reader(ast.NodeVisitor):
    """Goes through the cell in the order in which it would run."""

    def __init__(self) -> None:
        self.names = CellNames()
        self.nested: dict[str, int] = {}  # read in functions, which may run at any time
        self.words: set[str] = set()  # words in a magic's text: names, or not
        self.sure: set[str] = set()  # bound by now, whatever way the cell went
        self.deleted: set[str] = set()
        self.doubtful = 0  # > 0: what is read here may not run, or may be caught

    # --- blocks and branches ------------------------------------------------------------------------

    def block(self, body: Iterable[ast.stmt]) -> bool:
        """Visit statements; False if the end of the block is never reached."""
        for statement in body:
            self.visit(statement)
            if isinstance(statement, (ast.Raise, ast.Return, ast.Break, ast.Continue)):
                return False
            if leaves_loop(statement):
                self.doubtful += 1  # what follows in this block may be skipped; undone by `branch`
        return True

    def branch(self, body: Iterable[ast.stmt], *, certain: bool = False) -> set[str] | None:
        """Visit a block that may not run; the names sure to be bound after it, None if it does not end."""
        before, doubt = set(self.sure), self.doubtful
        self.doubtful += not certain
        ends = self.block(body)
        after, self.sure, self.doubtful = self.sure, before, doubt
        return after if ends else None

    def join(self, branches: Iterable[set[str] | None]) -> None:
        ending = [after for after in branches if after is not None]
        if ending:
            self.sure = set.intersection(*ending)
        else:
            self.doubtful += 1  # nothing after this point is sure to run

    def doubt(self, *nodes: ast.AST | None) -> None:
        self.doubtful += 1
        for node in nodes:
            if node is not None:
                self.visit(node)
        self.doubtful -= 1

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self.join([self.branch(node.body), self.branch(node.orelse)])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        # An empty loop is rare, and people want to hear of a typo in its body before it runs.
        self.branch(node.body, certain=True)
        self.branch(node.orelse)

    visit_AsyncFor = visit_For  # noqa: N815 - ast's naming

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self.branch(node.body)
        self.branch(node.orelse)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        body = self.branch([*node.body, *node.orelse], certain=not node.handlers)
        ways = [body]
        for handler in node.handlers:
            if handler.type is not None:
                self.doubt(handler.type)
            if handler.name:
                self.bind(handler.name, sure=False)
                self.sure.add(handler.name)
            ways.append(self.branch(handler.body))
            if handler.name:
                self.sure.discard(handler.name)
        self.join(ways)
        self.block(node.finalbody)

    def visit_TryStar(self, node: ast.TryStar) -> None:
        self.visit_Try(node)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.visit(item.optional_vars)
        caught = any(may_catch(item.context_expr) for item in node.items)
        after = self.branch(node.body, certain=not caught)
        if not caught:
            self.join([after])

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        for case in node.cases:
            before = set(self.sure)
            self.doubt(case.pattern, case.guard)
            self.branch(case.body)
            self.sure = before

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.pattern is not None:
            self.visit(node.pattern)
        if node.name:
            self.bind(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self.bind(node.rest)

    # --- expressions of which a part may not run ------------------------------------------------------

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self.doubt(*node.values[1:])

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self.doubt(node.body, node.orelse)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.visit(node.left)
        self.visit(node.comparators[0])
        self.doubt(*node.comparators[1:])

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)
        self.doubt(node.msg)

    # --- names ----------------------------------------------------------------------------------------

    def read(self, name: str, line: int) -> None:
        if name in self.sure:
            return
        self.names.reads.setdefault(name, line)
        known = name in self.names.bound or name in self.deleted
        if not (self.doubtful or self.names.opaque or known):
            self.names.certain.setdefault(name, line)

    def bind(self, name: str, *, sure: bool = True) -> None:
        self.names.bound.add(name)
        if sure:
            self.sure.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Store):
            self.bind(node.id)
        else:
            self.sure.discard(node.id)
            self.deleted.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, node.target.lineno)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        self.doubt(node.annotation)  # not evaluated at all with `from __future__ import annotations`
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.visit(node.target)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.names.opaque = True
            else:
                self.bind(alias.asname or alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        pattern = _TEXTS.get(called)
        if pattern is not None:
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    for word in pattern.findall(argument.value):
                        self.words.add(word)
                        self._touch(word, node.lineno)
        self.generic_visit(node)
        if pattern is not None or called in _OPAQUE:
            self.names.opaque = True

    # --- nested scopes --------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for expression in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            if expression is not None:
                self.visit(expression)
        self.bind(node.name)  # before the body, which runs later and may call itself
        self._inside(ast.Module([node], []), node.lineno)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for expression in (*node.decorator_list, *node.bases, *(word.value for word in node.keywords)):
            self.visit(expression)
        self._inside(ast.Module([node], []), node.lineno)
        self.bind(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for expression in (*node.args.defaults, *node.args.kw_defaults):
            if expression is not None:
                self.visit(expression)
        self._inside(ast.Expression(node), node.lineno)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)
        self._inside(ast.Expression(node), node.lineno)
        for part in ast.walk(node):
            if isinstance(part, ast.NamedExpr):
                self.bind(part.target.id, sure=False)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def _inside(self, tree: ast.Module | ast.Expression, line: int) -> None:
        """Names that a nested scope takes from the cell's. Compiled, as Python's scoping is the judge."""
        mode = "exec" if isinstance(tree, ast.Module) else "eval"
        code: CodeType = compile(
            tree, "<cell>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        for name in of_code(code):
            self._touch(name, line)
        for name in globals_bound(code):
            self.bind(name, sure=False)

    def _touch(self, name: str, line: int) -> None:
        if name not in self.sure:
            self.nested.setdefault(name, line)
