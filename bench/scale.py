"""The control plane at a size no machine here has: what 1,000 workers on 125 hosts cost the one notebook.

    python -m bench.scale [--workers 1000] [--hosts 125] [--seconds 5]

Owns the notebook's side, which is all real (session, magics, engine, tunnels, output), and the figures. The
hosts are stand-ins in a process of their own, which run nothing but say what hubs say (`crowd.py`). Wall
times are of no use where all hosts share the machine; counts and the notebook's own CPU time are.
"""

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import psutil

from . import simulation
from .harness import ended

QUIET = 0.2
"""Seconds in which a notebook that has nothing to do does next to nothing."""


@dataclass(frozen=True)
class Cost:
    """What something took: of the notebook's process, and of what the hosts told it."""

    what: str
    wall: float
    cpu: float  # seconds of the notebook's process
    messages: int
    frames: int
    bytes: int
    shown: int  # characters that went to the front end


class Hosts:
    """The process with the cluster."""

    def __init__(self, hosts: int, workers: int) -> None:
        code = f"from bench.crowd import main; main({hosts}, {workers})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address: str = self._answer()["address"]

    def counts(self) -> dict[str, int]:
        """What all hubs have sent so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        ended(self._process)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of the hosts has ended")
        return json.loads(line)


class Notebook:
    """A notebook in this process, with a terminal's front end."""

    def __init__(self, hosts: Hosts) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        self._hosts = hosts
        self._actors: list[Any] = []
        self._shell: Any = InteractiveShell.instance()
        self._shell.run_line_magic("load_ext", "cellmesh")

    def cost(self, what: str, action: Callable[[], object]) -> Cost:
        """Do this once."""
        before, shown = self._hosts.counts(), io.StringIO()
        cpu, wall = time.process_time(), time.perf_counter()
        with redirect_stdout(shown):
            action()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        sent = {name: count - before[name] for name, count in self._hosts.counts().items()}
        return Cost(what, wall, cpu, sent["messages"], sent["frames"], sent["bytes"], len(shown.getvalue()))

    def connect(self, workers: int) -> None:
        """To all hosts, with a mesh worker for each GPU."""
        import cellmesh as cm

        cm.connect("dask", self._hosts.address)
        cm.start(workers=workers)

    def cell(self, does: str) -> None:
        """On all workers."""
        self._shell.run_cell_magic("distributed", "", f"pass  # {does}")

    def status(self) -> None:
        """What `%mesh` shows, as text and as HTML."""
        self._shell.run_line_magic("mesh", "")

    def start_actors(self, count: int) -> None:
        """As many as workers."""
        import cellmesh as cm

        self._actors = [cm.actor(restarts=3)(Model).start() for _ in range(count)]
        while self._hosts.counts()["actors"] < count:
            time.sleep(QUIET)  # they are placed one after another
        self._rest()

    def restart_actors(self) -> None:
        """All of them; hosts tell the scheduler, and that the notebook."""
        self.cell("restarts")
        self._rest()

    def _rest(self) -> None:
        """Until nothing more is to be done here."""
        spent = -1.0
        while time.process_time() - spent > QUIET / 20:
            spent = time.process_time()
            time.sleep(QUIET)


class Model:
    """What the actors are of."""


def measure(workers: int, hosts: int, seconds: int) -> tuple[list[Cost], dict[str, int]]:
    """Everything once; and what the notebook's process holds while it is attached."""
    crowd = Hosts(hosts, -(-workers // hosts))
    try:
        notebook = Notebook(crowd)
        own = psutil.Process()
        first = own.memory_info().rss, own.num_fds(), threading.active_count()
        found = [notebook.cost("connect, and start all workers", lambda: notebook.connect(workers))]
        last = own.memory_info().rss, own.num_fds(), threading.active_count()
        names = ("memory, MB", "descriptors", "Python threads")
        held = {name: after - before for name, before, after in zip(names, first, last, strict=True)}
        held["memory, MB"] //= 1_000_000
        held["threads of the system"] = own.num_threads()
        notebook.cell("warm")
        for what, action in (
            (f"idle for {seconds} s", lambda: time.sleep(seconds)),
            ("a no-op cell on all", lambda: notebook.cell("nothing")),
            (
                f"all print 10 lines a second for {seconds} s",
                lambda: notebook.cell(f"prints 10 {seconds}"),
            ),
            (
                f"all say how far they are, 10 times a second for {seconds} s",
                lambda: notebook.cell(f"tracks 10 {seconds}"),
            ),
            ("start an actor for each", lambda: notebook.start_actors(workers)),
            ("all actors restart", notebook.restart_actors),
            ("%mesh", notebook.status),
        ):
            found.append(notebook.cost(what, action))
        import cellmesh as cm

        cm.connect("inline")
        return found, held
    finally:
        crowd.close()


def lines(workers: int, hosts: int, costs: list[Cost], held: dict[str, int]) -> list[str]:
    """The report."""
    found = [
        f"{workers:,} workers on {hosts} hosts; {platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores for hosts and notebook together, Python {platform.python_version()}",
        "",
        "| what | messages | frames | kB | notebook's CPU | µs a message | wall | characters shown |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        each = f"{cost.cpu / cost.messages * 1e6:.0f}" if cost.messages else ""
        found.append(
            f"| {cost.what} | {cost.messages:,} | {cost.frames:,} | {cost.bytes / 1e3:,.0f} "
            f"| {cost.cpu:.2f} s | {each} | {cost.wall:.1f} s | {cost.shown:,} |"
        )
    found += ["", "The notebook holds: " + ", ".join(f"{name} {count:,}" for name, count in held.items())]
    return found


def core(workers: int, tasks: int) -> str:
    """What one hub's core takes to decide, if all were its own, and with those of one host."""
    figures = [simulation.simulate(tasks, count).microseconds for count in (8, workers)]
    return (
        f"The pure core, µs for each decision: {figures[0]:.1f} with 8 workers, "
        f"{figures[1]:.1f} with {workers:,} ({tasks:,} tasks)"
    )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--hosts", type=int, default=0, help="default: one for eight workers")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=100_000, help="of the core's own simulation")
    options = parser.parse_args()
    hosts = options.hosts or -(-options.workers // 8)
    os.environ["CELLMESH_ENGINE"] = "inline"  # until it connects: no hub of this machine is asked for
    runtime = os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="cms-", dir="/tmp")
    try:
        costs, held = measure(options.workers, hosts, options.seconds)
        print("\n".join(lines(options.workers, hosts, costs, held)), flush=True)
        print(core(options.workers, options.tasks))
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    main()
