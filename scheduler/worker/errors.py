"""An exception of user code as the record that goes to the notebook.

Owns what is kept of it: user frames without our own at the top, the text a person reads, a hint, and the
exception itself, or what of it survives a round trip. Never raises for what an exception's own methods do
wrong. Read next: `cellmesh/scheduler/objects/failures.py`.
"""

import asyncio
import os
import traceback
from collections.abc import Mapping
from types import FrameType, TracebackType

import cellmesh.scheduler
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.describing import describe
from cellmesh.scheduler.objects.failures import Failure, Rebuilt, RemoteFrame
from cellmesh.scheduler.objects.frames import tidy

_TEXT = 100_000
_FRAMES = 100  # of a deep recursion the first and last of these are kept
_EXCEPTION = 1024 * 1024  # a larger exception carries data; it goes without
_PART = 64 * 1024  # and these are the parts it goes without

_OF_FUTURES = frozenset({"result", "done", "exception", "cancel", "cancelled", "add_done_callback"})

_OURS = tuple(
    os.path.join(os.path.realpath(os.path.dirname(file)), "")
    for file in (cellmesh.scheduler.__file__, asyncio.__file__)
    if file
)


class ExitRefusedError(RuntimeError):
    """User code tried to end the worker's process."""


def failure(
    error: BaseException,
    *,
    worker: str,
    sources: Mapping[str, str],
    item: int | None = None,
    item_repr: str = "",
) -> Failure:
    """Everything of `error` that the notebook needs. `sources`: texts of cells, by file name."""
    tidy(error)
    frames = _user_part(error.__traceback__)
    trace = _rebuilt(frames, error.__traceback__)
    if isinstance(error, SystemExit):
        error = ExitRefusedError(
            f"The code called exit ({describe(error.code)}). A worker does not end that way: "
            "use return, or raise an exception."
        )
    return Failure(
        exception=_pickled(error),
        type_name=type(error).__name__,
        message=_message(error),
        frames=_frames(frames, sources),
        text=_text(error, trace),
        worker=worker,
        item=item,
        item_repr=item_repr,
        hint=_hint(error),
        notes=tuple(str(note) for note in getattr(error, "__notes__", ())),
    )


def _is_ours(filename: str) -> bool:
    return os.path.realpath(filename).startswith(_OURS) or f"{os.sep}IPython{os.sep}" in filename


def _user_part(trace: TracebackType | None) -> list[tuple[FrameType, int]]:
    """The frames from the first to the last that is not machinery."""
    frames = list(traceback.walk_tb(trace))
    while frames and _is_ours(frames[-1][0].f_code.co_filename):
        frames.pop()
    start = next((i for i, (frame, _) in enumerate(frames) if not _is_ours(frame.f_code.co_filename)), 0)
    return frames[start:]


def _rebuilt(frames: list[tuple[FrameType, int]], trace: TracebackType | None) -> TracebackType | None:
    """The traceback with these frames only, columns included."""
    chosen = {(id(frame), line) for frame, line in frames}
    found = []
    while trace is not None:
        if (id(trace.tb_frame), trace.tb_lineno) in chosen:
            found.append(trace)
        trace = trace.tb_next
    rebuilt = None
    for each in reversed(found):
        rebuilt = TracebackType(rebuilt, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return rebuilt


def _frames(frames: list[tuple[FrameType, int]], sources: Mapping[str, str]) -> tuple[RemoteFrame, ...]:
    found = []
    for frame, line in frames:
        code = frame.f_code
        source = sources.get(code.co_filename, "")
        found.append(RemoteFrame(code.co_filename, code.co_qualname, line, source, code.co_firstlineno))
    if len(found) > _FRAMES:
        found = [*found[: _FRAMES // 2], *found[-_FRAMES // 2 :]]
    return tuple(found)


def _text(error: BaseException, trace: TracebackType | None) -> str:
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception as trouble:  # noqa: BLE001 - so may the parts of a traceback
        text = f"{type(error).__name__} (its traceback cannot be shown: {type(trouble).__name__})\n"
    if len(text) > _TEXT:
        text = text[: _TEXT // 2] + "\n… (cut)\n" + text[-_TEXT // 2 :]
    return text


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_TEXT]
    except Exception as trouble:  # noqa: BLE001 - and __str__
        return f"<its message cannot be shown: {type(trouble).__name__}>"


def _pickled(error: BaseException) -> bytes | None:
    """Only what also loads: many exceptions pickle, and then fail for their __init__'s arguments."""
    return _survives(error, error) or _survives(_parts(error), error)


def _survives(value: BaseException | Rebuilt, error: BaseException) -> bytes | None:
    """The pickle of `value`, if that becomes an exception like `error`."""
    try:
        data = codec.dumps(value)
        if not isinstance(data, bytes) or len(data) > _EXCEPTION:
            return None
        back = codec.loads(data)
        if isinstance(back, Rebuilt):
            back = back.make()
        # One in parts need not say the same, for some may be missing; but it must say something.
        says = str(back) == str(error) or isinstance(value, Rebuilt)
        same = says and type(back).__qualname__ == type(error).__qualname__
    except Exception:  # noqa: BLE001 - and its pickling; the text goes instead
        return None
    return data if same else None


def _parts(error: BaseException) -> Rebuilt:
    """What the exception can be made from without its `__init__`, as far as it can be pickled."""
    args = tuple(each if _travels(each) else describe(each) for each in error.args)
    state = {name: each for name, each in getattr(error, "__dict__", {}).items() if _travels(each)}
    return Rebuilt(type(error), args, state)


def _travels(value: object) -> bool:
    try:
        data = codec.dumps(value)
        if not isinstance(data, bytes) or len(data) > _PART:
            return False
        codec.loads(data)
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "it").partition(".")[0]
        return f"Install {name} in the kernel's environment: workers run the same Python."
    if isinstance(error, ValueError) and "read-only" in _message(error):
        return "Large arrays and tables are shared, and so they are read-only: change a copy, as of x.copy()."
    if isinstance(error, AttributeError) and error.name in _OF_FUTURES:
        return "A Future of the notebook is its value here: what a task is given or uses needs no .result()."
    if type(error).__name__ == "OutOfMemoryError":
        return "The GPU is full: use smaller batches, or %mesh free what holds it."
    if isinstance(error, MemoryError):
        return (
            "The machine is out of memory: use smaller pieces, fewer workers (%mesh scale), or free an actor "
            "(%mesh free)."
        )
    return ""
