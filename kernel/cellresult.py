"""What a plain `%%distributed` cell ends with: one value per worker, or the failure to raise.

Owns `CellResult`, also the handle that `--background --out NAME` gives. Never launches.
Read next: `outcomes.py`, `launch.py`.
"""

from collections.abc import Generator
from concurrent.futures import CancelledError
from typing import Any

from cellmesh.scheduler.objects.codec import CannotPickleError
from cellmesh.scheduler.objects.unpicklable import Unpicklable

from . import outcomes
from .jobs import Job, Record


class CellResult:
    """The last expression's value of a cell, from each worker in order."""

    def __init__(self, job: Job, workers: tuple[int, ...]) -> None:
        self._job = job
        self._workers = workers  # by task index
        self._values: list[Any] | None = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<cellmesh.CellResult job {self._job.number} {self._job.title}: {self._job.summary()}>"

    @property
    def job(self) -> Job:
        return self._job

    def done(self) -> bool:
        """Whether all workers have ended."""
        return self._job.finished

    def cancel(self) -> None:
        """Interrupt the cell wherever it still runs."""
        self._job.cancel()

    def result(self, timeout: float | None = None) -> list[Any]:
        """Wait; the values in worker order. Raises what the lowest worker raised."""
        self.wait(timeout)
        if self._values is None:
            self._values = self._take()
        return self._values

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all workers have ended; raises what the lowest one raised."""
        if self._values is not None:
            return
        if self._error is None:
            self._job.wait(timeout)
            self._job.session.router.release(self._job)
            self._error = self._failure()
            if self._error is not None:
                self._job.claim()
        if self._error is not None:
            raise self._error

    def __await__(self) -> Generator[Any, None, list[Any]]:
        yield from self._job.session.bell.wait_async(lambda: self._job.finished).__await__()
        return self.result()

    # ------------------------------------------------------------------------------------------------

    def _records(self) -> list[tuple[int, Record | None]]:
        return [(worker, self._job.records.get(index)) for index, worker in enumerate(self._workers)]

    def _take(self) -> list[Any]:
        values = []
        for worker, record in self._records():
            assert record is not None
            value, error = outcomes.value_of(record.items[0])
            if error is not None:
                raise error
            if isinstance(value, Unpicklable):
                raise CannotPickleError(
                    f"worker {worker}: the last expression is a {value.type_name}, which cannot be sent to "
                    f"the notebook ({value.why or value.repr}). End the cell with what you need of it."
                )
            values.append(value)
        self._job.claim()
        return values

    def _failure(self) -> BaseException | None:
        """What to raise: the failure of the lowest worker, with a note about the others."""
        failed: list[tuple[int, BaseException]] = []
        cancelled: list[int] = []
        for worker, record in self._records():
            item = record.items.get(0) if record is not None else None
            if item is not None and item.ok:
                continue
            error = outcomes.value_of(item)[1] if item is not None else outcomes.ending_of(self._job, record)
            if isinstance(error, CancelledError | TimeoutError) and item is None:
                cancelled.append(worker)
            elif error is not None:
                failed.append((worker, error))
        if self._job.timed_out and cancelled:
            still = ", ".join(str(worker) for worker in cancelled)
            error = TimeoutError(f"the cell was cancelled by its --timeout; it still ran on worker {still}")
            for worker, other in failed:
                error.add_note(f"cellmesh: on worker {worker} it had failed: {_brief(other)}")
            return error
        if not failed:
            return CancelledError("the cell was cancelled") if cancelled else None
        _, error = failed[0]
        others = [f"worker {worker} ({_brief(other)})" for worker, other in failed[1:4]]
        if others:
            more = f" and {len(failed) - 4} more" if len(failed) > 4 else ""
            count = len(failed) - 1
            error.add_note(
                f"cellmesh: {count} other worker{'s' * (count > 1)} failed too: {', '.join(others)}{more}"
            )
        return error


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    text = text if len(text) <= 80 else text[:79] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
