"""Runs one task at a time in the main thread of a worker, and never fails itself.

Owns the verbs, the worker's namespace and what is cached between tasks. Never talks to the hub: it is given
callables. Read next: `items.py`, `cells.py`, `reports.py`, `output.py`.
"""

import builtins
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from cellmesh.scheduler.objects import codec, packets
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import Interpreter, Output, Payload, Progress, Report, Run

from . import surroundings
from .cells import CompiledCell, compile_cell, padded
from .descriptors import FdCapture
from .interrupts import Interrupts
from .items import Items
from .logs import LogWriter
from .loops import Loop
from .modules import LocalModules
from .names import Names
from .notebook import Notebook
from .output import TaskOutput
from .outside import framed
from .reports import Reporter
from .retrying import Retrying
from .streams import Streams
from .tracking import Tracker

_SOURCES = 500  # cells whose text is kept for tracebacks


class Runner:
    """What a worker does with a `Run`."""

    def __init__(
        self,
        *,
        number: int | None,
        label: str,
        prefix: str,
        emit: Callable[[Output | Progress], None],
        report: Callable[[Report], None],
        namespace: dict[str, Any] | None = None,
        logs: LogWriter | None = None,
        output: TaskOutput | None = None,
        interrupts: Interrupts | None = None,
        capture: FdCapture | None = None,
        modules: LocalModules | None = None,
        before_first: Callable[[Callable[[str], None], Callable[[], None]], None] | None = None,
    ) -> None:
        self.interrupts = interrupts or Interrupts()
        self.output = output or TaskOutput(
            number=number, prefix=prefix, emit=emit, logs=logs, interrupts=self.interrupts
        )
        self.streams = Streams(self.output)
        self.notebook = Notebook(self.output)
        self.namespace: dict[str, Any] = (
            {"__name__": "__main__", "__builtins__": builtins} if namespace is None else namespace
        )
        if capture is not None:
            capture.attach(self.output)
        self._reporter = Reporter(report, self.output, self.interrupts, prefix)
        self._before_first = before_first
        self._logs = logs
        self._loop = Loop(self.interrupts)
        self._modules = modules or LocalModules()
        self._generation = self._modules.generation
        self._names = Names()
        self.context = ""  # digest of the surroundings that are applied
        self._job: int | None = None
        self._functions: dict[str, Callable[..., Any]] = {}
        self._cells: dict[str, tuple[CellCode, CompiledCell]] = {}
        self.sources: dict[str, str] = {}  # texts of cells, for tracebacks
        self._items = Items(
            label, prefix, self.interrupts, self.notebook, self._loop, self._reporter, self.sources
        )
        self._tracker = Tracker(emit, self._items.at)

    def run(self, run: Run, blobs: Mapping[str, Payload]) -> None:
        """Run the task. Ends with exactly one report whose outcome is set."""
        reporter = self._reporter
        outcome: Literal["ok", "error", "interrupted"]
        self.streams.awake()
        self.output.begin(run.job, run.task.index)
        reporter.begin(run)
        self._tracker.begin(run)
        self.interrupts.begin(run.attempt)
        try:
            self.interrupts.check()  # it may have come before us
            self._prepare(run, blobs)
            self.notebook.before()
            match run.task.verb:
                case "call":
                    self._call(run, blobs)
                case "map" | "each" | "calls":
                    function = self._wanted(run, blobs)
                    load = packets.split if run.task.verb == "calls" else codec.loads
                    self._items.many(run, function, load(run.task.payload))
                case "cell":
                    self._cell(run, blobs)
                case "over":
                    self._over(run, blobs)
            outcome = "error" if reporter.failed else "ok"
        except BaseException as error:  # noqa: BLE001 - a worker outlives every task
            self.interrupts.end()
            outcome = "interrupted" if self.interrupts.is_one(error) else "error"
            if outcome == "error":
                self._items.fail_rest(run, error)
        self.interrupts.end()
        self._items.end()
        self._tracker.end()
        self.output.end()
        self._modules.look()
        reporter.finish(outcome, self.names() if run.task.verb == "cell" else None)

    def names(self) -> list[str]:
        """Names that distributed cells assigned here. Any thread may ask."""
        return self._names.listed()

    def forget(self, digests: list[str]) -> None:
        """Drop what is cached of these blobs."""
        for digest in digests:
            self._functions.pop(digest, None)
            self._cells.pop(digest, None)

    def shed(self, attempt: int) -> None:
        """Give back items of this attempt that have not begun. Any thread may ask."""
        self._items.shed(attempt)

    def close(self) -> None:
        """The worker ends: pass on and write what is left."""
        self.output.settle()
        self._loop.close()
        if self._logs is not None:
            self._logs.close()

    # --- before a task ---------------------------------------------------------------------------

    def _prepare(self, run: Run, blobs: Mapping[str, Payload]) -> None:
        if self._before_first is not None:
            self._before_first(self.output.note, self.interrupts.check)
            self._before_first = None
        if run.context and run.context != self.context:
            data = blobs[run.context]
            assert isinstance(data, bytes)
            surroundings.apply(msgspec.msgpack.decode(data, type=Interpreter))
            self.context = run.context
        if run.job != self._job:
            self._modules.refresh()
            self._job = run.job
        if self._generation != self._modules.generation:
            self._generation = self._modules.generation
            self._functions.clear()
            self._names.outdated()

    def _function(self, digest: str, blobs: Mapping[str, Payload]) -> Callable[..., Any]:
        function = self._functions.get(digest)
        if function is None:
            function = self._functions[digest] = framed(codec.loads(blobs[digest]))
        return function

    def _wanted(self, run: Run, blobs: Mapping[str, Payload]) -> Callable[..., Any]:
        task = run.task
        function = self._function(task.blobs[0], blobs)
        if task.retry_on:
            kinds: Any = self._function(task.retry_on, blobs)
            return Retrying(task, function, kinds, self._loop)
        return function

    # --- the verbs -------------------------------------------------------------------------------

    def _call(self, run: Run, blobs: Mapping[str, Payload]) -> None:
        if 0 in run.skip:
            return
        function = self._wanted(run, blobs)
        args, kwargs = codec.loads(run.task.payload)
        self._items.one(run, 0, None, function, args, kwargs)

    def _cell(self, run: Run, blobs: Mapping[str, Payload]) -> None:
        code: CellCode = codec.loads(run.task.payload)
        compiled = self._compile(code)
        namespace = self.namespace
        self._names.set_captured(code.names, blobs, namespace)
        before = dict(namespace)
        ended = False

        def body() -> Any:
            nonlocal ended
            with self.notebook.scope(namespace):
                value = compiled.run(namespace, self._loop.run)
                ended = True
                if compiled.shows:
                    self.notebook.show(value)
            return value if code.keep_value else None

        try:
            self._items.one(run, 0, None, body, (), {}, stand_in=True)
        finally:
            self._names.assigned(compiled.stores, before, namespace, ended=ended)

    def _over(self, run: Run, blobs: Mapping[str, Payload]) -> None:
        digest = run.task.blobs[0]
        if digest not in self._cells:
            loaded: CellCode = codec.loads(blobs[digest])
            self._cells[digest] = (loaded, self._compile(loaded))
        code, compiled = self._cells[digest]
        self._names.set_captured(code.names, blobs, self.namespace)

        def body(value: Any) -> Any:
            local = {**self.namespace, code.item_name: value}
            with self.notebook.scope(local):
                return compiled.run(local, self._loop.run)

        values = codec.loads(run.task.payload)
        for index in self._items.indices(run):
            self._items.one(run, index, (values[index],), body, (values[index],), {})

    def _compile(self, code: CellCode) -> CompiledCell:
        self.sources.pop(code.filename, None)
        self.sources[code.filename] = padded(code, code.source)
        if len(self.sources) > _SOURCES:
            del self.sources[next(iter(self.sources))]
        return compile_cell(code, self.notebook.transform)
