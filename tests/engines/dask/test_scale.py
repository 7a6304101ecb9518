"""Many hosts: a notebook attaches to them, and the simulation that docs/scale.md tells of counts right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

FEW_FILES = """
import resource, runpy, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
sys.argv[1:] = "--workers 20 --hosts 20 --seconds 1 --tasks 1000".split()
runpy.run_module("bench.scale", run_name="__main__")
"""


def test_twenty_hosts_are_simulated_also_where_few_files_may_be_open(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", FEW_FILES]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, timeout=110)
    assert run.returncode == 0, run.stderr
    rows = [line.strip("| ").split(" | ") for line in run.stdout.splitlines() if line.startswith("| ")]
    messages = {what: int(count) for what, count, *_ in rows[1:]}
    status, connect = messages.pop("%mesh"), messages.pop("connect, and start all workers")
    assert messages == {
        "idle for 1 s": 0,
        "a no-op cell on all": 40,  # a result, and an end
        "all print 10 lines a second for 1 s": 240,
        "all say how far they are, 10 times a second for 1 s": 240,
        "start an actor for each": 40,  # the same of each host
        "all actors restart": 80,
    }
    assert status > 0
    assert connect >= 40  # a welcome of each host, and a word on each worker
    (core,) = (line for line in run.stdout.splitlines() if line.startswith("The pure core"))
    assert "1,000 tasks" in core
    assert list(tmp_path.glob("cellmesh-data-*")) == []
