"""A remote failure as an exception of the notebook's own: its type, its lines, and a note about where.

Owns stub frames: code objects that do nothing but raise, with the remote file names, functions and lines, so
that IPython, `traceback` and `%debug` show what they would have shown here. Never runs remote code.
Read next: `cellmesh/scheduler/objects/failures.py`, `launch.py`.
"""

import ast
import linecache
import re
import types
from collections.abc import Sequence
from typing import Any

from cellmesh.scheduler.objects import frames, namespaces
from cellmesh.scheduler.objects.failures import Failure, Rebuilt, RemoteFrame

_CHAIN = re.compile(
    r"\n(The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:)\n\n"
)
_FRAME = re.compile(r'^  File "(.+)", line (\d+)(?:, in (.+))?$', re.MULTILINE)
_LAST_LINE = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.DOTALL)

_texts: dict[str, str] = {}


class RemoteError(RuntimeError):
    """An exception of a worker that cannot come here itself. `type_name` says what it is there.

    Each is raised as a subclass named like the original, so that it reads like it.
    """

    type_name = "RemoteError"

    def __reduce__(self) -> tuple[Any, ...]:
        return remote_error, (self.type_name, str(self))


def remote_error(type_name: str, message: str) -> RemoteError:
    """A RemoteError that stands for an exception of this type.

    >>> remote_error("CustomError", "no")
    CustomError('no')
    """
    short = type_name.rpartition(".")[2]
    kind = type(short, (RemoteError,), {"type_name": type_name, "__module__": RemoteError.__module__})
    error: RemoteError = kind(message) if message else kind()
    return error


def remember(filename: str, text: str) -> None:
    """The whole text of a cell, as the user sees it: tracebacks show its lines."""
    _texts[filename] = text
    _install(filename, text)


def restore(filename: str) -> None:
    """The cell's text again: an engine in this process may have put its own version there."""
    if filename in _texts:
        _install(filename, _texts[filename])


def rebuild(failure: Failure, namespace: dict[str, Any] | None = None) -> BaseException:
    """The exception to raise here: with its remote traceback, its cause, and a note."""
    error = _load(failure, {} if namespace is None else namespace)
    for frame in failure.frames:
        _know_source(frame)
    earlier, direct = _earlier(failure.text)
    if earlier is not None and direct:
        error.__cause__ = earlier
    elif earlier is not None:
        error.__context__ = earlier
    known = getattr(error, "__notes__", [])
    for note in (*failure.notes, note_of(failure)):
        if note not in known:
            error.add_note(note)
    return error.with_traceback(stub_traceback(failure.frames))


def note_of(failure: Failure) -> str:
    """Which worker, which item, its repr, and what to try.

    >>> note_of(Failure(None, "KeyError", "", (), "", "worker 1", 3, "'a'"))
    "cellmesh: on worker 1, item 3: 'a'"
    """
    item = f", item {failure.item}" if failure.item is not None else ""
    shown = f": {failure.item_repr}" if failure.item is not None and failure.item_repr else ""
    hint = f"\n{failure.hint}" if failure.hint else ""
    return f"cellmesh: on {failure.worker}{item}{shown}{hint}"


def at_line(error: BaseException, filename: str, line: int) -> BaseException:
    """An error of ours, to be raised at a line of the cell."""
    return error.with_traceback(stub_traceback((RemoteFrame(filename, "<module>", line),)))


def stub_traceback(frames: Sequence[RemoteFrame]) -> types.TracebackType | None:
    """A traceback through frames that look like these, outermost first."""
    trace: types.TracebackType | None = None
    for frame in reversed(frames):
        stub = _stub(frame)
        trace = types.TracebackType(trace, stub.tb_frame, stub.tb_lasti, stub.tb_lineno)
    return trace


class _Raised(Exception):  # noqa: N818 - not an error: it is how a frame is had
    pass


def _stub(frame: RemoteFrame) -> types.TracebackType:
    """The traceback entry of a frame that has just raised at this place."""
    line = max(1, frame.lineno)
    text = linecache.getline(frame.filename, line)
    start = len(text) - len(text.lstrip())
    # Where the function begins: IPython takes the lines that it shows from there. Code has its lines relative
    # to that, so it is compiled as if the function began at line 1.
    first = min(line, max(1, frame.firstlineno))
    # The whole line as its place: `traceback` then draws no carets, for we know no columns.
    place = {"lineno": line - first + 1, "end_lineno": line - first + 1, "col_offset": start}
    place["end_col_offset"] = max(start, len(text.rstrip().encode()))
    statement = ast.Raise(ast.Name("_Raised", ast.Load(), **place), None, **place)
    code = compile(ast.Module([statement], []), frame.filename or "<unknown>", "exec")
    trace: types.TracebackType | None = None
    name = frame.name.rpartition(".")[2] or "<module>"
    code = code.replace(co_name=name, co_qualname=frame.name, co_firstlineno=first)
    try:
        exec(code, {"__name__": "__main__", "_Raised": _Raised, frames.STAND_IN: True}, {})  # noqa: S102 - one `raise`, made above
    except _Raised as raised:
        trace = raised.__traceback__
    if trace is None or trace.tb_next is None:
        raise AssertionError("a stub did not raise")
    return trace.tb_next


def _load(failure: Failure, namespace: dict[str, Any]) -> BaseException:
    if failure.exception is not None:
        try:
            error = namespaces.loads(failure.exception, namespace)
            if isinstance(error, Rebuilt):
                error = error.make()
        except Exception as trouble:  # noqa: BLE001 - whatever its own __init__ raises here; the stand-in says so
            stand_in = remote_error(failure.type_name, failure.message)
            stand_in.add_note(f"(the exception itself cannot be loaded here: {trouble!r})")
            return stand_in
        if isinstance(error, BaseException):
            return error
    return remote_error(failure.type_name, failure.message)


def _earlier(text: str) -> tuple[BaseException | None, bool]:
    """What the exception came from, read back from the formatted traceback; and whether by `raise … from`.

    A pickled exception has lost its causes, so the text is all there is of them.
    """
    parts = _CHAIN.split(text)
    error: BaseException | None = None
    direct = False
    for i in range(0, len(parts) - 1, 2):
        current = _from_text(parts[i])
        if error is not None and direct:
            current.__cause__ = error
        elif error is not None:
            current.__context__ = error
        error, direct = current, "direct cause" in parts[i + 1]
    return error, direct


def _from_text(text: str) -> BaseException:
    frames = [_frame(file, int(line), name or "<module>") for file, line, name in _FRAME.findall(text)]
    tail: list[str] = []
    for line in reversed(text.rstrip().splitlines()):
        if line.startswith(("  ", "Traceback (")):
            break
        tail.insert(0, line)
    match = _LAST_LINE.match("\n".join(tail))
    error = remote_error(match[1], match[2] or "") if match else RemoteError("\n".join(tail))
    return error.with_traceback(stub_traceback(frames))


def _frame(filename: str, line: int, name: str) -> RemoteFrame:
    """A frame of which a formatted traceback tells; where its function begins is looked up in its source."""
    first = 1 if name == "<module>" else line
    if name.isidentifier():
        definition = re.compile(rf"\s*(?:(?:async\s+)?def|class)\s+{name}\b")
        above = enumerate(linecache.getlines(filename)[:line], start=1)
        first = max((number for number, text in above if definition.match(text)), default=line)
    return RemoteFrame(filename, name, line, firstlineno=first)


def _know_source(frame: RemoteFrame) -> None:
    if frame.filename in _texts:
        restore(frame.filename)
    elif frame.source and not linecache.getlines(frame.filename):
        _install(frame.filename, frame.source)


def _install(filename: str, text: str) -> None:
    # No mtime: `linecache.checkcache` then never looks for the file, which does not exist.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
