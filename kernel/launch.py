"""From a distributed cell to tasks on mesh workers, and to what the cell ends with.

Owns the order of things: everything is checked before anything is started. Never reads options itself
(`arguments.py`), never waits by itself (`jobs.py`). Read next: `targets.py`, `capture.py`, `cellresult.py`.
"""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.objects.codec import CannotPickleError
from cellmesh.scheduler.wire.messages import Payload, TaskWire

from . import arguments, attaching, capture, celltext, flow, targets, tracebacks, unattended
from .arguments import CellOptions, show_spec
from .capture import Captured, Notebook
from .cellresult import CellResult
from .celltext import CellText
from .feeding import Template
from .futures import Future
from .jobs import Job
from .launching import fan_out
from .names import CellNames
from .options import Options
from .packing import persist
from .session import Session


@dataclass(slots=True)
class Prepared:
    """A cell that has passed all checks."""

    session: Session
    shell: Any
    magic: str
    options: CellOptions
    cell: CellText
    used: CellNames
    workers: tuple[int, ...]
    captured: Captured
    futures: list[Future]  # captured ones: their segments must outlive the tasks


def distributed(shell: Any, magic: str, line: str, body: str) -> BaseException | None:
    """Run a cell on mesh workers. What the cell shall raise is returned: the magic raises it."""
    options = arguments.parse(line, magic)
    try:
        cell = celltext.read(shell, magic, line, body)
    except SyntaxError as error:
        return error.with_traceback(None)
    if options.local:
        celltext.check_local(cell)
    try:
        session = attaching.current()
        if options.actor:
            from .actors import cell as inside  # here: notebooks without actors do not pay for them

            inside.run(session, shell, magic, options, cell)
            return None
        values = _values(shell, options, cell, magic) if options.over else None
        prepared = _prepare(session, shell, magic, options, cell)
        if values is None:
            _plain(prepared)
        else:
            _over(prepared, values)
        return None
    except _AtLine as error:
        return tracebacks.at_line(error.error, cell.filename, error.line)
    except EngineError as error:
        raise UsageError(f"{magic}: {error}") from None
    except (UsageError, SyntaxError):
        raise
    except BaseException as error:  # noqa: BLE001 - returned, so that no frame of ours is in its traceback
        own = error.__traceback__
        while own is not None and own.tb_frame.f_globals.get("__name__", "").startswith("cellmesh."):
            own = own.tb_next
        if own is None and isinstance(error, KeyboardInterrupt):
            return error.with_traceback(None)  # the magic's own line is shown anyway
        at: int = getattr(error, "line", cell.magic_line)  # of what cannot be pickled
        return error.with_traceback(own) if own else tracebacks.at_line(error, cell.filename, at)
    finally:
        tracebacks.restore(cell.filename)


class _AtLine(Exception):  # noqa: N818 - carries an error to the line of the cell where it belongs
    def __init__(self, error: BaseException, line: int) -> None:
        self.error = error
        self.line = line


# --- before anything is started -------------------------------------------------------------------


def _values(shell: Any, options: CellOptions, cell: CellText, magic: str) -> Iterable[Any]:
    """What `--over` goes over: an expression in the notebook's namespace."""
    try:
        code = compile(options.over, "<--over>", "eval")
    except SyntaxError as error:
        raise UsageError(f"{magic}: --over {options.over} is not an expression ({error.msg})") from None
    try:
        values = eval(code, shell.user_ns)  # noqa: S307 - the user's own expression, as in any cell
    except Exception as error:  # noqa: BLE001 - it is the user's, raised at the cell's line
        error.add_note(f"cellmesh: this is what --over {options.over} raised")
        raise _AtLine(error, cell.magic_line) from None
    try:
        iter(values)
    except TypeError:
        raise UsageError(
            f"{magic}: --over {options.over}: {type(values).__name__!r} is not iterable; "
            "give a list, a range, an array, ..."
        ) from None
    return values  # type: ignore[no-any-return]


def _prepare(session: Session, shell: Any, magic: str, options: CellOptions, cell: CellText) -> Prepared:
    used = flow.of_cell(cell.tree)
    notebook = Notebook(shell.user_ns, shell.user_ns_hidden)
    own = (options.item_name,) if options.over else ()
    for name in options.push:
        if not notebook.has(name):
            raise UsageError(f"{magic}: --push {name}: the notebook has no {name}")
    chosen = targets.planned(session, options, magic)
    if not session.workers:  # nothing is started for a cell that cannot run
        _check_names(session, notebook, used, chosen, own)
    if not targets.ready(session, options, chosen):
        _check_names(session, notebook, used, chosen, own)
    owned = targets.owned_names(session, chosen)
    futures: list[Future] = []

    def note(obj: Any) -> Payload | None:
        payload = persist(obj, session.engine.cell_prefix())
        if payload is not None:
            futures.append(obj)
        return payload

    try:
        captured = capture.capture(
            used,
            notebook,
            owned,
            chosen,
            own=own,
            push=options.push,
            prefix=session.engine.cell_prefix(),
            persist=note,
        )
    except CannotPickleError as error:
        raise _AtLine(error, getattr(error, "line", cell.magic_line)) from None
    if options.over and options.workers is None and captured.mixed():
        name = captured.mixed()[0].name
        captured.discard()
        raise UsageError(
            f"{magic}: some workers have a `{name}` of their own and some do not; --push {name} sends the "
            "notebook's to all, or choose workers with --workers"
        )
    return Prepared(session, shell, magic, options, cell, used, chosen, captured, futures)


def _check_names(
    session: Session, notebook: Notebook, used: CellNames, chosen: Sequence[int], own: Sequence[str]
) -> None:
    """A name that is nowhere is an error before anything runs."""
    if targets.may_assign_unseen(session):
        return
    found = capture.missing(used, notebook, targets.owned_names(session, chosen), chosen, own)
    if found is not None:
        raise _AtLine(found.error(len(chosen)), found.line)


# --- starting -------------------------------------------------------------------------------------


def _send_captured(prepared: Prepared) -> None:
    """Say what there is to say, and hand the captured values to the engine."""
    session, known = prepared.session, targets.memory(prepared.session)
    for name in prepared.captured.workers_own:
        session.notices.say(f"`{name}`: the workers' own value is used; --push {name} sends the notebook's")
    count = len(prepared.workers)
    for entry in prepared.captured.entries:
        size = codec.size_of(entry.payload)
        if size > capture.ANNOUNCE and entry.digest not in known.announced:
            known.announced.add(entry.digest)
            to = f"{count} worker{'s' * (count != 1)}"
            session.notices.say(f"sending `{entry.name}` ({capture.show_size(size)}) to {to}")
    prepared.captured.put(session.engine, session.captured)
    for entry in prepared.captured.entries:
        before = known.digests.get(entry.name)
        known.digests[entry.name] = entry.digest
        if before is not None and before not in known.digests.values():
            session.engine.drop_blob(before)


def _code(prepared: Prepared, worker: int | None) -> Payload:
    cell = prepared.cell
    current = prepared.session.hooks.current
    return pickle.dumps(
        CellCode(
            source=cell.source,
            filename=cell.filename,
            line_offset=cell.offset,
            names=prepared.captured.names_for(worker),
            item_name=prepared.options.item_name,
            cell_id=current.msg_id if current else "",
            keep_value=bool(prepared.options.out) or prepared.options.background,
            show_result=not prepared.options.out,
        ),
        protocol=5,
    )


def _plain(prepared: Prepared) -> None:
    """Once on every chosen worker."""
    session, options = prepared.session, prepared.options
    _send_captured(prepared)
    tasks = [
        TaskWire(
            index=index,
            verb="cell",
            payload=_code(prepared, worker),
            blobs=[digest for _, digest in prepared.captured.names_for(worker)],
            pool="mesh",
            worker=worker,
            retries=0,
        )
        for index, worker in enumerate(prepared.workers)
    ]
    job = session.launch(
        "cell", _title(prepared), background=options.background, setup=options.setup, timeout=options.timeout
    )
    job.place_of = dict(enumerate(prepared.workers)).get
    known = targets.memory(session)
    known.setup = known.setup or options.setup
    known.pending.append((job, frozenset(prepared.used.bound)))
    result = CellResult(job, prepared.workers)
    if not options.background and len(tasks) > 1:
        unattended.tell_failure(job)
    try:
        job.submit(tasks, True, holds=prepared.futures)
    except BaseException:
        job.abandon()
        raise
    failed_here: BaseException | None = None
    if options.local:
        try:
            celltext.run_local(prepared.cell, prepared.shell.user_ns)
        except KeyboardInterrupt:
            job.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised once the workers have ended
            failed_here = error
    if options.background:
        _hand_over(prepared, job, result)
        if failed_here is not None:
            raise failed_here
        return
    try:
        if options.out:
            prepared.shell.user_ns[options.out] = result.result()
        else:
            result.wait()
            job.claim()
    except Exception:
        if failed_here is None:
            raise
    if failed_here is not None:
        raise failed_here


def _over(prepared: Prepared, values: Iterable[Any]) -> None:
    """Once per element, on whichever worker is free."""
    session, options = prepared.session, prepared.options
    _send_captured(prepared)
    code = session.put_blob(_code(prepared, prepared.workers[0] if options.workers else None))
    template = Template(
        "over",
        (code, *(digest for _, digest in prepared.captured.names_for(None))),
        pool="mesh",
        workers=prepared.workers if options.workers is not None else (),
        options={"retries": Options().retries},
    )
    results = fan_out(
        session,
        list(values) if isinstance(values, list) else values,
        template,
        kind="over",
        title=_title(prepared),
        options=Options(background=options.background),
        limit=options.timeout,
        slots=len(prepared.workers),
        holds=prepared.futures,
    )
    if options.background:
        _hand_over(prepared, results.job, results)
        return
    items = results.result()
    if options.out:
        prepared.shell.user_ns[options.out] = items


def _hand_over(prepared: Prepared, job: Job, handle: Any) -> None:
    if prepared.options.out:
        prepared.shell.user_ns[prepared.options.out] = handle
    else:
        unattended.keep(prepared.session, job, handle)


def _title(prepared: Prepared) -> str:
    if prepared.options.over:
        return f"over {prepared.options.over}"[:60]
    if prepared.options.workers is None:
        return "%%distributed"
    return f"%%rank [{show_spec(prepared.workers)}]"
