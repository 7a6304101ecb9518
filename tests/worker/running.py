"""A runner in a process of its own, as a worker has it, and runners in this one.

Owns starting and asking them. Everything a subprocess reports comes back as one JSON line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from itertools import count
from pathlib import Path
from typing import Any

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import Output, Report, Run, TaskWire
from cellmesh.scheduler.worker.runner import Runner

ROOT = Path(__file__).resolve().parents[2]

_PRELUDE = """
import json, os, sys, threading, time
sys.path.insert(0, {root!r})
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import *
from cellmesh.scheduler.worker import shell
from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.runner import Runner
from cellmesh.scheduler.worker.streams import FdCapture

shell.prepare()
outputs, reports = [], []
answer = os.dup(1)
interrupts, capture = Interrupts(), FdCapture()
runner = Runner(number=1, label="worker 1", prefix="", emit=outputs.append, report=reports.append,
                interrupts=interrupts, capture=capture)
interrupts.install()
shell.adopt(runner)

def cell(source, attempt=1, names=(), blobs=None):
    outputs.clear(); reports.clear()
    task = TaskWire(0, "cell", codec.dumps(CellCode(source, "/tmp/ipykernel_1/1.py", 1, names)))
    runner.run(Run(attempt, 1, task, ""), blobs or {{}})
    return reports[-1]

def loaded(report):
    return [codec.loads(item.payload) for item in report.items]

def indices(report):
    return [item.index + offset for item in report.items for offset in range(item.count)]

def shown():
    return [(o.kind, o.text if o.text else json.loads(o.data) if o.data else "") for o in outputs]

def say(value):
    os.write(answer, (json.dumps(value, default=str) + "\\n").encode())
"""


def in_worker(script: str, **environ: str) -> list[Any]:
    """Run `script` with a runner set up as in a worker; what it said."""
    code = _PRELUDE.format(root=str(ROOT)) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", **environ},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Local:
    """A runner in this process, without a shell and without the process's streams."""

    def __init__(self, **options: Any) -> None:
        self.outputs: list[Output] = []
        self.reports: list[Report] = []
        self.runner = Runner(
            number=1,
            label="worker 1",
            prefix="",
            emit=self.outputs.append,
            report=self.reports.append,
            **options,
        )
        self._job = 0

    def run(self, task: TaskWire, blobs: dict[str, Any], *, skip: list[int] | None = None) -> Any:
        """Run a task as a job of its own; its items' values."""
        self._job += 1
        self.reports.clear()
        with self.runner.streams.borrowed():
            self.runner.run(Run(self._job, self._job, task, "", skip or []), blobs)
        assert [r.outcome for r in self.reports if r.outcome] == [self.reports[-1].outcome]
        found: dict[int, Any] = {}
        for item in (item for report in self.reports for item in report.items):
            loaded = codec.loads(item.payload)
            found.update(zip(count(item.index), loaded if item.count > 1 else [loaded], strict=False))
        return found

    def cell(self, source: str) -> Any:
        """Run a cell; its value."""
        return self.run(TaskWire(0, "cell", codec.dumps(CellCode(source, "<cell>", 1, ()))), {})[0]
