"""Where a task's CPU time goes: seconds a task, by process and thread, as the operating system counts them.

Owns one run of its own pool, in a process of its own. CPU seconds hardly depend on what else the machine
does, unlike wall time. Never judges. Read next: `docs/performance.md`.
"""

import json
import subprocess
import sys
from collections import Counter

import psutil

import cellmesh as cm

from .contenders.alone import _family
from .contenders.base import noop

SUM = "in all"
MODES = {"one": "one task at a time", "many": "10,000 outstanding"}


def measured(mode: str) -> dict[str, float]:
    """CPU seconds a task by where they were spent, from a fresh pool."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.path", mode], capture_output=True, text=True, timeout=300
    )
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def main(mode: str) -> None:
    """Print it as JSON."""
    _run("many", 2_000)  # the pool is up, and what is loaded once is loaded
    count = {"one": 3_000, "many": 20_000}[mode]
    before = _spent()
    _run(mode, count)
    after = _spent()
    after.subtract(before)
    found = {where: seconds / count for where, seconds in after.items()}
    print(json.dumps({SUM: sum(found.values()), **found}))


def _run(mode: str, count: int) -> None:
    if mode == "one":
        for _ in range(count):
            cm.submit(noop).result()
    else:
        for _ in range(count // 10_000 or 1):
            for future in [cm.submit(noop) for _ in range(min(count, 10_000))]:
                future.result()


def _spent() -> "Counter[str]":
    """Seconds so far, by role and thread."""
    spent: Counter[str] = Counter()
    for process in [psutil.Process(), *_family()]:
        role = "kernel" if process.pid == psutil.Process().pid else process.name().removeprefix("cellmesh-")
        role = {"task": "workers", "nurse": "nursery", "templ": "template"}.get(role, role)
        for thread in process.threads():
            place = "main thread" if thread.id == process.pid else "other threads"
            spent[f"{role}, {place}"] += thread.user_time + thread.system_time
    return spent


if __name__ == "__main__":
    main(sys.argv[1])
