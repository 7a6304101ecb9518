"""`%%distributed --actor llm`: a cell inside the actor's process, with `self` bound to the live object.

Owns what goes with it, and what it ends with. Never reads options or source: `launch.py` has done that.
Read next: `caller.py`, `cellmesh/kernel/capture.py`.
"""

from typing import Any

from IPython.core.error import UsageError

from cellmesh.kernel import capture, celltext, flow
from cellmesh.kernel.arguments import CellOptions
from cellmesh.kernel.capture import Captured, Notebook
from cellmesh.kernel.celltext import CellText
from cellmesh.kernel.futures import Future
from cellmesh.kernel.packing import Packed, persist
from cellmesh.kernel.session import Session
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.objects.codec import CannotPickleError
from cellmesh.scheduler.objects.unpicklable import Unpicklable
from cellmesh.scheduler.wire.messages import Payload

from . import listing, reloading
from .caller import Caller
from .directory import directory_of
from .future import ActorFuture

_HERE = (0,)  # as capturing knows the one process that the cell runs in


def run(session: Session, shell: Any, magic: str, options: CellOptions, cell: CellText) -> None:
    """Run it, and wait for it unless it is in the background; raises what it raised."""
    if options.reload:
        celltext.run_local(cell, shell.user_ns)
        reloading.reload(session, options.actor, shell.user_ns)
        return
    answer = session.engine.actors.find(options.actor)
    if answer.actor is None:
        several = [info.name for info in listing.replicas(session, options.actor)]
        why = f"it is a pool; name one of {', '.join(several)}" if several else answer.why
        raise UsageError(f"{magic} --actor {options.actor}: {why}")
    directory = directory_of(session)
    caller = directory.caller(answer.actor)
    notebook = Notebook(shell.user_ns, shell.user_ns_hidden)
    for name in options.push:
        if not notebook.has(name):
            raise UsageError(f"{magic}: --push {name}: the notebook has no {name}")
    used = flow.of_cell(cell.tree)
    futures: list[Future] = []

    def note(obj: Any) -> Payload | None:
        payload = persist(obj, session.engine.object_prefix())
        if payload is not None:
            futures.append(obj)
        return payload

    captured = capture.capture(
        used,
        notebook,
        dict.fromkeys(caller.names, _HERE),
        _HERE,
        own=("self",),
        push=options.push,
        prefix=session.engine.object_prefix(),
        persist=note,
    )
    try:
        future = _send(session, caller, options, cell, captured, futures)
    except BaseException:
        captured.discard()
        raise
    future.add_done_callback(lambda _: captured.discard())
    caller.names |= used.bound
    if options.background:
        _hand_over(shell, options, future)
        return
    try:
        value = future.result(options.timeout)
    except TimeoutError:
        if future.cancel():
            raise TimeoutError("the cell was cancelled by its --timeout; it still ran") from None
        raise
    if not options.out:
        return
    if isinstance(value, Unpicklable):
        raise CannotPickleError(
            f"actor {options.actor}: the last expression is a {value.type_name}, which cannot be sent to the "
            f"notebook ({value.why or value.repr}). End the cell with what you need of it."
        )
    shell.user_ns[options.out] = value


def _send(
    session: Session,
    caller: Caller,
    options: CellOptions,
    cell: CellText,
    captured: Captured,
    futures: list[Future],
) -> ActorFuture:
    for name in captured.workers_own:
        session.notices.say(f"`{name}`: the actor's own value is used; --push {name} sends the notebook's")
    for entry in captured.entries:
        if (size := codec.size_of(entry.payload)) > capture.ANNOUNCE:
            session.notices.say(
                f"sending `{entry.name}` ({capture.show_size(size)}) to actor {options.actor}"
            )
    current = session.hooks.current
    code = CellCode(
        source=cell.source,
        filename=cell.filename,
        line_offset=cell.offset,
        names=captured.names_for(None),
        cell_id=current.msg_id if current else "",
        keep_value=bool(options.out) or options.background,
        show_result=not options.out,
    )
    payload = codec.dumps((code, {entry.digest: entry.payload for entry in captured.entries}))
    title = f"%%distributed --actor {options.actor}"
    future: ActorFuture = caller.call(
        "", Packed(payload, futures), lambda number: ActorFuture(caller, number, title), "cell"
    )
    return future


def _hand_over(shell: Any, options: CellOptions, future: ActorFuture) -> None:
    if options.out:
        shell.user_ns[options.out] = future
    else:
        future.add_done_callback(_tell)


def _tell(future: ActorFuture) -> None:
    """In the background, and nobody has its handle: a failure is told."""
    if future.failed() and not future.cancelled():
        error = future.exception()
        where = f"cell {future.cell.label}: " if future.cell and future.cell.label else ""
        future.session.notices.say(f"{where}{future.title} failed: {type(error).__name__}: {error}")
