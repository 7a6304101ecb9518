"""The joblib backend "cellmesh": what `joblib.Parallel` and scikit-learn fan out runs on the pool.

Owns the translation between joblib's interface and ours. Imported only where joblib is already (see
`cellmesh/guests.py`). Never runs joblib's callbacks in the engine's thread: they load results and draw on the
user's iterator; the thread that does also moves the progress line. Read next: `bounded.py`, `progress.py`.
"""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from joblib.parallel import (
    AutoBatchingMixin,
    BatchedCalls,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from cellmesh.scheduler.worker import lending
from cellmesh.widgets.viewmodel import ProgressRow

from . import attaching, options
from .bounded import BoundedCalls
from .progress import Progress
from .sharing import Shared

Callback = Callable[["concurrent.futures.Future[Any]"], object]
Ended = tuple[Callback, "concurrent.futures.Future[Any]"]


class CellmeshBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs batches of joblib's calls as tasks of the pool."""

    default_n_jobs = -1
    supports_retrieve_callback = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._calls: BoundedCalls | None = None
        self._ended: SimpleQueue[Ended | None] | None = None
        self._shared = Shared()
        self._title = ""
        self._bar: Progress | None = None
        self._ending = "done"

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once: -1 means all cores of the pool, -2 all but one, and so on."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        cores = attaching.current().engine.capacity().cpus
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Get ready for one `Parallel`. One job at a time runs in this process, as everywhere in joblib."""
        count = self.effective_n_jobs(n_jobs)
        if count == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._calls = BoundedCalls(attaching.current(), count)
        return count

    def start_call(self) -> None:
        """A `Parallel` is called: from now on there are callbacks to run."""
        self._title, self._ending = "joblib", "done"
        self._bar = Progress(attaching.current(), self._row)
        self._ended = SimpleQueue()
        thread = threading.Thread(
            target=_call_back, args=(self._ended, self._bar), name="cellmesh-joblib", daemon=True
        )
        thread.start()

    def stop_call(self) -> None:
        """It has all of its results, or has failed."""
        if self._ended is not None:
            self._ended.put(None)
            self._ended = None
        if self._bar is not None:
            self._bar.pause()
            self._bar = None
        self._shared = Shared()
        attaching.current().drain_claims()  # the arguments that were shared are free

    def submit(self, func: Any, callback: Callback | None = None) -> "concurrent.futures.Future[Any]":
        """Run one batch of calls."""
        assert self._calls is not None, "joblib configures a backend before it submits"
        self._title = options.title_of(func.items[0][0]) if func.items else "joblib"
        future: concurrent.futures.Future[Any]
        try:
            # The batch is an argument, and not the function: those are kept for the next call of them.
            future = self._calls.submit(_run, (self._with_shared(func),), {}, self._title)
        except Exception as error:  # noqa: BLE001 - what cannot be sent; joblib raises it where the user waits
            future = concurrent.futures.Future()
            future.set_exception(error)
        ended = self._ended
        if callback is not None and ended is not None:
            once = [callback]  # which refers to the future, and so to the results
            future.add_done_callback(lambda done: ended.put((once.pop(), done)))
        return future

    apply_async = submit  # its name before joblib 1.5

    def retrieve_result_callback(self, out: "concurrent.futures.Future[Any]") -> Any:
        """The results of a batch, or raise what a call raised; in our own thread."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """A call failed, or the user has stopped: end the others."""
        if self._calls is not None:
            self._calls.cancel()
        self._ending = "stopped"

    def terminate(self) -> None:
        """The `Parallel` is not used any more; the pool is."""
        self._calls = None
        self.reset_batch_stats()

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """While the results are awaited inside a task, others may use its slot."""
        with lending.lent():
            yield

    def _row(self, seconds: float) -> ProgressRow:
        """How far the `Parallel` is; joblib takes its calls from an iterator, which may not tell how many."""
        done, total = self.parallel.n_completed_tasks, getattr(self.parallel, "n_tasks", None)
        if total is None and self.parallel._original_iterator is None:
            total = self.parallel.n_dispatched_tasks  # all of them are
        finished = self._ended is None
        rate = done / seconds if seconds else 0.0
        cell = self._bar.cell if self._bar is not None else None
        return ProgressRow(
            where=f"cell {cell.label} " if cell and cell.label else "",
            title=self._title,
            done=done,
            total=total,
            failed=0,
            seconds=round(seconds, 1) if finished else int(seconds),
            rate=float(f"{rate:.2g}"),
            left=float(round((total - done) / rate)) if total is not None and rate else None,
            finished=finished,
            ending=self._ending,
        )

    def _with_shared(self, batch: Any) -> BatchedCalls:
        """The batch, with large arguments replaced by the Futures that hold them."""
        items = [
            (
                function,
                tuple(self._shared.share(value) for value in args),
                {name: self._shared.share(value) for name, value in kwargs.items()},
            )
            for function, args, kwargs in batch.items
        ]
        return BatchedCalls(items, self.get_nested_backend())


def _run(batch: BatchedCalls) -> Any:
    """What one task does, in the worker."""
    return batch()


def _call_back(ended: "SimpleQueue[Ended | None]", bar: Progress) -> None:
    while True:
        try:
            one = ended.get(timeout=bar.until_next())
        except Empty:
            bar.show()
            continue
        if one is None:
            return
        callback, future = one
        callback(future)
        del one, callback, future  # while this waits for the next, the user may drop the results
