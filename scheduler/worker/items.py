"""The items of a task, run one by one, each ending as a value or a failure.

Owns how one item runs, and the quick loop for a million small ones. Never decides which task runs, and never
sends: `reports.py` does. Read next: `span.py`, `reports.py`, `errors.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import CoroutineType
from typing import Any

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.describing import describe
from cellmesh.scheduler.objects.marks import Mark
from cellmesh.scheduler.wire.messages import Item, Payload, Run

from . import errors, results
from .interrupts import Interrupts
from .loops import Loop
from .notebook import Notebook
from .reports import Reporter
from .results import PLAIN
from .seeding import seeded
from .span import Span


class Items:
    """Runs items for a `Runner`. `sources` are the texts of cells, for tracebacks."""

    def __init__(
        self,
        label: str,
        prefix: str,
        interrupts: Interrupts,
        notebook: Notebook,
        loop: Loop,
        reporter: Reporter,
        sources: dict[str, str],
    ) -> None:
        self._label = label
        self._prefix = prefix
        self._interrupts = interrupts
        self._notebook = notebook
        self._loop = loop
        self._reporter = reporter
        self._sources = sources
        self._span = Span()
        self._marks: Mark | None = None

    def shed(self, attempt: int) -> None:
        """Give back items of this attempt that have not begun. Any thread may ask."""
        self._span.shed(attempt, self._reporter.give_back)

    def at(self) -> int:
        """The item that runs, of a task that has several."""
        return self._span.at

    def end(self) -> None:
        """The task is over, however it ended."""
        self._span.close()

    def indices(self, run: Run) -> Iterator[int]:
        """The items to be run here, one after another."""
        span, skip = self._span, frozenset(run.skip)
        span.begin(run.attempt, run.task.size, skip)
        for index in range(run.task.size):
            span.at = index
            if index >= span.end and span.over(index):
                break
            if index not in skip:
                if run.careful:
                    self._mark(run.attempt, index)
                yield index

    def _mark(self, attempt: int, index: int) -> None:
        if self._marks is None:
            self._marks = Mark(self._prefix)
        self._marks.set(attempt, index)

    def many(self, run: Run, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """Call the function with each of the arguments, in the way that the task's verb says."""
        if run.task.seeds is None and not run.task.retry_on and not run.careful:
            self._quickly(run, function, arguments)
            return
        for index in self.indices(run):
            if run.task.verb == "calls":
                self.one(run, index, None, _called, (function, arguments[index]), {})
                continue
            args = arguments[index] if run.task.verb == "map" else (arguments[index],)
            self.one(run, index, args, function, args, {})

    def one(
        self,
        run: Run,
        index: int,
        subject: tuple[Any, ...] | None,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        stand_in: bool = False,
    ) -> None:
        """Run one item. `subject` is what it is about, to name it if it fails."""
        self._interrupts.check()
        try:
            seeds = run.task.seeds
            try:
                with nullcontext() if seeds is None else seeded(seeds[index]):
                    value = function(*args, **kwargs)
                    if type(value) is CoroutineType:
                        value = self._loop.run(value)
            finally:
                self._notebook.after()
            item = Item(index, True, results.dump(value, self._prefix, stand_in=stand_in))
        except BaseException as error:  # SystemExit too: the worker lives on
            if self._interrupts.is_one(error):
                raise
            item = Item(index, False, self._failure(error, index, subject))
        self._reporter.add(item)

    def fail_rest(self, run: Run, error: BaseException) -> None:
        """The task could not run at all: every item that is left fails of it."""
        many = run.task.verb in ("map", "each", "over")
        failure = errors.failure(error, worker=self._label, sources=self._sources)
        for index in range(run.task.size):
            if index not in run.skip and not self._reporter.has(index):
                own = replace(failure, item=index) if many else failure
                self._reporter.add(Item(index, False, codec.dumps(own)))

    def _quickly(self, run: Run, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """What `one` does, without what a no-op would feel: a million of them take a fraction of a second."""
        single, star = run.task.verb == "each", run.task.verb == "map"
        interrupts, reporter, span, skip = self._interrupts, self._reporter, self._span, frozenset(run.skip)
        drawn = self._notebook.drawn()
        span.begin(run.attempt, len(arguments), skip)
        values: list[Any] | None = None  # the run of plain values that is open
        for index, argument in enumerate(arguments):
            span.at = index
            if index >= span.end and span.over(index):
                break
            if skip and index in skip:
                values = None
                continue
            if interrupts.pending:
                interrupts.check()
            try:
                if single:
                    value = function(argument)
                elif star:
                    value = function(*argument)
                else:  # a call: plain, or pickled when it was made
                    args, kwargs = _call(argument)
                    value = function(*args, **kwargs)
                kind = type(value)
                if kind in PLAIN:
                    if values is None:
                        values = reporter.open_run(index)
                    values.append(value)
                    if drawn:
                        self._notebook.after()
                    continue
                if kind is CoroutineType:
                    value = self._loop.run(value)
                self._notebook.after()
                item = Item(index, True, results.dump(value, self._prefix))
            except BaseException as error:  # SystemExit too: the worker lives on
                if interrupts.is_one(error):
                    raise
                subject = (argument,) if single else argument if star else None
                item = Item(index, False, self._failure(error, index, subject))
            values = None
            reporter.add(item)

    def _failure(self, error: BaseException, index: int, subject: tuple[Any, ...] | None) -> Payload:
        described = ""
        if subject is not None:
            described = describe(subject[0] if len(subject) == 1 else subject)
        failure = errors.failure(
            error,
            worker=self._label,
            sources=self._sources,
            item=index if subject is not None else None,
            item_repr=described,
        )
        return results.dump_failure(failure, self._prefix)


def _called(function: Callable[..., Any], entry: Any) -> Any:
    args, kwargs = _call(entry)
    return function(*args, **kwargs)


def _call(entry: Any) -> Any:
    """(args, kwargs), as they were given or pickled."""
    kind = type(entry)
    if kind is tuple:
        return entry
    return codec.loads(entry) if kind is bytes else entry.load()
