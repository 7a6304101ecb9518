"""From workers' output to the cell that launched the work.

Owns `Router`: gathers a burst, then shows it in the launching cells, also when those have long ended. Never
blocks the engine's thread. What no front end would show (a headless run drops messages of an ended cell) is
kept and shown when the results are taken. Read next: `panes.py`, `publishing.py`.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire.messages import Output, Ref

from . import cells, publishing
from .labels import Whose
from .panes import Entry, Pane

if TYPE_CHECKING:
    from .jobs import Job
    from .session import Session

LATE_LIMIT = 256 * 1024
PANES = 64


@dataclass(frozen=True, slots=True)
class Speaker:
    """An actor that calls from a cell make speak: to the router, what a job is otherwise."""

    id: int
    title: str
    cell: cells.Cell | None


class Router:
    """The output side of a session."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._publisher = publishing.publisher()
        self._pending: dict[
            tuple[int, str], tuple[Job | Speaker, list[Entry]]
        ] = {}  # in order of first output
        self._panes: OrderedDict[str, Pane] = OrderedDict()
        self._late: dict[int, list[Entry]] = {}
        self._lock = threading.RLock()  # the engine's thread and the main thread both publish

    # --- from the engine's thread -------------------------------------------------------------------

    def take(self, job: "Job | Speaker", output: Output) -> None:
        """Something arrived; it is shown with the next `flush`."""
        bundle: dict[str, Any] = {}
        size = len(output.text)
        if output.kind in ("display", "update", "result"):
            try:
                raw = _read(output)
            except FileNotFoundError:  # its job was claimed or cleared meanwhile
                note = "(a display that is no longer kept)"
                self._append(job, Entry(_source(job, output), _whose(job, output), "note", note))
                return
            size += len(raw)
            bundle = json.loads(raw)
            self._name_display(job, output, bundle)
        self._append(
            job, Entry(_source(job, output), _whose(job, output), output.kind, output.text, bundle, size)
        )

    def settled(self, job: "Job", worker: int | None, task: int) -> None:
        """A task is over: an unfinished line of it is finished with what comes."""
        if _key(job) in self._pending or self._has_pane(job):
            self._append(job, Entry((job.id, worker if worker is not None else -1 - task), (worker,), "end"))

    def flush(self) -> None:
        """Show what has been gathered."""
        if not self._pending:
            return
        with self._lock:
            pending, self._pending = self._pending, {}
            for job, entries in pending.values():
                if isinstance(job, Speaker) or job.id in self._session.jobs:
                    self._show(job, entries)

    # --- from the main thread -----------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line of our own in the running cell."""
        self._publisher.stream(self._session.hooks.current, "stderr", text)

    def tell(self, job: "Job | Speaker", text: str) -> None:
        """A line of our own about a job: in its launching cell if that still shows it, else in the next."""
        cell = job.cell
        if cell is not None and not cell.live and cell.msg_id in self._session.hooks.ended:
            self._session.notices.say(text)
            return
        with self._lock:
            self._publisher.stream(cell, "stderr", f"cellmesh: {text}\n")

    def has_late(self, id: int) -> bool:
        """Whether something of this job or actor waits to be shown with its results."""
        return id in self._late

    def release(self, job: "Job | Speaker") -> None:
        """The results are being taken: show here what no front end would have shown there."""
        if not self.has_late(job.id):
            return
        with self._lock:
            entries = self._late.pop(job.id, [])
            if entries:
                where = job.cell.label if job.cell else ""
                title = f"output of cell {where} ({job.title}) since it ended:\n"
                pane = Pane(self._session.hooks.current, self._publisher)
                pane.show([Entry(("late",), (None,), "stderr", "cellmesh: " + title), *entries])

    def forget(self, job_id: int) -> None:
        with self._lock:
            self._late.pop(job_id, None)

    def display(self, data: dict[str, Any], display_id: str, *, update: bool) -> None:
        """Show something of our own, which can be updated, in the running cell."""
        cell = self._session.hooks.current
        self._publisher.display(cell, data, {}, {"display_id": display_id}, update=update)

    # ------------------------------------------------------------------------------------------------

    def _append(self, job: "Job | Speaker", entry: Entry) -> None:
        with self._lock:
            self._pending.setdefault(_key(job), (job, []))[1].append(entry)

    def _show(self, job: "Job | Speaker", entries: list[Entry]) -> None:
        cell = job.cell
        if cell is not None and not cell.live and cell.msg_id in self._session.hooks.ended:
            self._keep(job, entries)
            return
        key = cell.msg_id if cell is not None else ""
        pane = self._panes.get(key)
        if pane is None:
            pane = self._panes[key] = Pane(cell, self._publisher)
            while len(self._panes) > PANES:
                self._panes.popitem(last=False)
        self._panes.move_to_end(key)
        pane.show(entries)

    def _keep(self, job: "Job | Speaker", entries: list[Entry]) -> None:
        late = self._late.setdefault(job.id, [])
        late += [entry for entry in entries if entry.kind != "end" or late]
        size = sum(entry.size + 64 for entry in late)
        if size > LATE_LIMIT:
            while size > LATE_LIMIT and len(late) > 1:
                size -= late.pop(0).size + 64
            note = Entry(("late",), (None,), "note", "… earlier output is in %mesh logs …")
            late[:0] = [note] if late[0].text != note.text else []

    def _has_pane(self, job: "Job") -> bool:
        return (job.cell.msg_id if job.cell else "") in self._panes or job.id in self._late

    def _name_display(self, job: "Job | Speaker", output: Output, bundle: dict[str, Any]) -> None:
        """Give a worker's display id a name of its own: two workers may use the same one."""
        transient = bundle.get("transient") or {}
        display_id = transient.get("display_id")
        if not display_id:
            return
        if output.worker is None:
            maker = f"{job.id}-{output.task}"
        else:
            ids = [worker.id for worker in self._session.workers if worker.number == output.worker]
            maker = f"{output.worker}-{ids[0] if ids else 0}"
        session = hashlib.blake2b(self._session.spec.key.encode(), digest_size=6).hexdigest()
        bundle["transient"] = {**transient, "display_id": f"cellmesh-{session}-{maker}-{display_id}"}


def _key(job: "Job | Speaker") -> tuple[int, str]:
    return (job.id, job.cell.msg_id if job.cell is not None else "")


def _whose(job: "Job | Speaker", output: Output) -> tuple[Whose]:
    return (job.title if isinstance(job, Speaker) else output.worker,)


def _source(job: "Job | Speaker", output: Output) -> tuple[int, int]:
    return (job.id, output.worker if output.worker is not None else -1 - output.task)


def _read(output: Output) -> bytes:
    if isinstance(output.data, Ref):
        return bytes(segments.view(output.data))
    return output.data
