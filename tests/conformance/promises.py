"""What an engine can promise, who does not, and the table of it in docs/engines.md.

Owns the promises' words, and what of them was seen in this run: a promise is kept where all of its tests
passed, and not made where they were skipped for that. The table is written by
`pytest tests/conformance --write-promises`, and compared by each whole run of the suite. Never runs a test.
Read next: `conftest.py`, `test_page.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

PROMISES = {
    "calls": "`cm.submit` and `cm.map`: each result comes once; coroutines, seeds, large objects",
    "cells": "`%%distributed`: a namespace for each worker, that persists; what a cell uses goes with it",
    "mesh": "`%mesh`: numbered workers, more and fewer of them, `reset`, `--setup` cells on new ones",
    "actors": "actors: names, safe starts, reload, checkpoints on demand, `@cm.batch`",
    "output": "prints and displays come in order, labelled, before the result; a flood is cut and counted",
    "progress": "`cm.track` and tqdm are told, for each item",
    "errors": "errors are their own type, with the cell's own lines; the other items go on",
    "jobs": "what is cancelled runs no more, what was not taken is kept, what was taken is forgotten",
    "refusals": "workers, GPUs and jobs that are not there are a clear error, at once",
    "bounds": "more cores or memory than there are is refused at once, and says what there is",
    "surroundings": "tasks have the notebook's folder, environment and `sys.path`, as far as they are there",
    "background": "work goes on while the notebook does something else; who attaches is told how far it is",
    "deaths": "a worker that dies is named; only what it had not reported runs again",
    "interrupts": "Stop reaches Python that runs; variables and finished items are kept",
    "timeouts": "`timeout=` ends that item alone",
    "references": "a large result stays where it was made until somebody wants it",
    "slots": "`cpus=` and `memory=` are counted: what asks for more waits until it is free",
    "stubborn code": "what does not yield to Stop or `timeout=` in two seconds loses its process and slots",
    "priorities": "what waits begins strictly by `priority=`",
    "one memory": "large arguments are read in place, by all processes, without a copy",
    "one folder": "a working folder that is gone is a clear error",
    "logs": "`%mesh logs` has everything that was printed",
}
"""In the order of the page."""

NOT_PROMISED: dict[str, set[str]] = {
    "embedded": set(),
    "inline": {
        "background",
        "bounds",
        "deaths",
        "interrupts",
        "logs",
        "one memory",
        "priorities",
        "references",
        "slots",
        "stubborn code",
        "timeouts",
    },
    "dask": {"logs", "one folder", "one memory", "priorities", "stubborn code"},
}
"""By engine, in the order of the page."""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "engines.md"
PAGE_TEST = Path(__file__).with_name("test_page.py")
SHOWS = "promise"
"""The property of a test that names its promise and its engine."""

_BEGIN = "<!-- written by pytest tests/conformance --write-promises -->\n"
_END = "<!-- until here -->\n"


class Seen:
    """A plugin: what became of the tests of each promise."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._expected: set[str] = set()
        self._left_out = False
        self._whole = False
        self._outcomes: dict[str, tuple[str, str, bool]] = {}  # node -> promise, engine, kept

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Whether all of the suite is there."""
        ours = [item for item in session.items if self._folder in item.path.parents]
        self._expected = {item.nodeid for item in ours if item.path != PAGE_TEST}
        everywhere = {item.path for item in ours} >= set(self._folder.glob("test_*.py"))
        parts = any("::" in argument for argument in session.config.args)
        self._whole = everywhere and not parts and not self._left_out

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Some were left out, by -k or -m."""
        self._left_out = self._left_out or any(self._folder in item.path.parents for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One test has come so far."""
        shows = dict(report.user_properties).get(SHOWS)
        if shows is None or report.when == "teardown":
            return
        promise, engine = shows
        refused = report.skipped and promise in NOT_PROMISED[engine]
        if refused or (report.when == "call" and report.passed):
            self._outcomes[report.nodeid] = promise, engine, not refused

    def missing(self) -> str:
        """Why this run says nothing about the page; "" if it does."""
        if not self._whole:
            return "only a whole run of the suite compares the page"
        if others := len(self._expected - self._outcomes.keys()):
            return f"{others} tests of the suite did not pass"
        return ""

    def table(self) -> str:
        """As Markdown."""
        kept: dict[tuple[str, str], set[bool]] = {}
        for promise, engine, was in self._outcomes.values():
            kept.setdefault((promise, engine), set()).add(was)
        words = {frozenset({True}): "yes", frozenset({False}): "no"}
        lines = [f"| | {' | '.join(NOT_PROMISED)} |", "|---|" + "---|" * len(NOT_PROMISED)]
        for promise, sentence in PROMISES.items():
            cells = [words[frozenset(kept[promise, engine])] for engine in NOT_PROMISED]
            lines.append(f"| {sentence} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def page(self) -> str:
        """The page with this table."""
        before, rest = PAGE.read_text(encoding="utf-8").split(_BEGIN)
        return before + _BEGIN + self.table() + _END + rest.split(_END)[1]
