"""The running cell, and what Stop means for what it launched.

Owns the IPython hooks around a cell. Never waits for the engine: the kernel must be back within 200 ms, so a
cancel is only sent; the hub interrupts, and after 2 s replaces, what does not yield.
Read next: `waiting.py`, `session.py`.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire.messages import Ref
from cellmesh.scheduler.worker import lending

from . import cells

if TYPE_CHECKING:
    from .jobs import Job
    from .session import Session


def shell() -> Any:
    """The IPython shell of this notebook, or None; IPython is never imported for it.

    A worker's own shell is none: its cells are another notebook's.
    """
    if lending.place() is not None:
        return None
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def kernel() -> Any:
    """The ipykernel of this process, or None (a terminal, a script)."""
    return getattr(shell(), "kernel", None)


READ_ONLY = "large results are read in place, where workers read them too: change a copy, as of x.copy()."


class Hooks:
    """Follows the cells of one shell for one session."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.current: cells.Cell | None = None
        self.ended: set[str] = set()  # message ids of cells that this kernel has finished
        self.on_end: list[Callable[[], None]] = []  # called as a cell ends, before its jobs are judged
        self.on_stop: list[Callable[[cells.Cell], None]] = []  # called with a cell that was stopped
        self._shell = shell()
        if self._shell is not None:
            self._shell.events.register("pre_run_cell", self._begin)
            self._shell.events.register("post_run_cell", self._end)
            self.current = self._look(begun=True)

    @property
    def interactive(self) -> bool:
        return self._shell is not None

    def detach(self) -> None:
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._begin)
            self._shell.events.unregister("post_run_cell", self._end)
            self._shell = None

    def _look(self, *, begun: bool) -> cells.Cell | None:
        # Not `execution_count`: IPython 9 counts before a cell runs, earlier ones after it. A cell is put
        # into the history just after pre_run_cell.
        count = len(self._shell.history_manager.input_hist_parsed) - begun
        running = kernel()
        if running is None:  # IPython in a terminal: there are cells, but nothing to send output to
            return cells.Cell(f"terminal-{count}", {}, count)
        return cells.from_parent(running.get_parent("shell"), count)

    def _begin(self, *_: Any) -> None:
        self.current = self._look(begun=False)
        self.session.notices.show()

    def _end(self, result: Any = None) -> None:
        # A cell with a top-level await that was stopped has no result at all.
        error = getattr(result, "error_in_exec", None) if result is not None else KeyboardInterrupt()
        if isinstance(error, ValueError) and "read-only" in str(error) and segments.viewed():
            self.session.notices.say(READ_ONLY)
        cell, self.current = self.current, None
        for callback in self.on_end:
            callback()
        if cell is not None:
            self.ended.add(cell.msg_id)
            if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "CancelledError":
                self._cancel(cell)  # the latter after an await
        self.session.drain_claims()

    def task_ends(self) -> None:
        """In a worker: what a task submitted is over with it, as with a cell."""
        for callback in self.on_end:
            callback()
        self.session.drain_claims()

    def _cancel(self, cell: cells.Cell) -> None:
        for callback in self.on_stop:
            callback(cell)
        for job in list(self.session.jobs.values()):
            if not job.background and job.cell and job.cell.msg_id == cell.msg_id:
                job.cancel()
                _relinquish(job)


def _relinquish(job: "Job") -> None:
    """The engine may forget what was stopped, unless large results lie there that somebody may still read."""
    items = [item for record in list(job.records.values()) for item in list(record.items.values())]
    if job.cancelled and not any(isinstance(item.payload, Ref) for item in items):
        job.claim()


def own(job: "Job") -> bool:
    """Whether the running cell launched it and Stop is meant for it."""
    current = job.session.hooks.current
    own = job.cell.msg_id == current.msg_id if job.cell and current else job.cell is None and current is None
    return own and not job.background


def interrupted(job: "Job") -> None:
    """Stop was pressed while something waited for this job; called as that is handled."""
    if job.finished:
        return
    if own(job):
        job.cancel()
        return
    where = f" of cell {job.cell.label}" if job.cell and job.cell.label else ""
    job.session.notices.say(
        f"job {job.number} ({job.title}){where} goes on; cm.cancel({job.number}) cancels it."
    )
