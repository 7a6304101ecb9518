"""A chaos run: two notebooks at work on one hub, and somebody who kills, stops and slows whatever is there.

Owns the run: what happens is drawn from the seed; how far each process has come by then is the machine's.
At the end all notebooks must have had every result right and once, and nothing may be left.
Read next: `book.py`, `retelling.py`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.wire import folders
from tests.support import leftovers

HUB_KILLS_A_MINUTE = 4  # the nursery gives a hub up that dies more often
QUIET_SECONDS = 120.0  # for what is under way when the storm is over


class ChaosError(AssertionError):
    """Something was wrong, lost or left."""


@dataclass
class Report:
    """What a run did and found."""

    seed: int
    hits: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    journal: Path | None = None


class Notebook:
    """A notebook whose kernel may be killed; the next one goes on."""

    def __init__(self, folder: Path, key: str, seed: int, home: Path) -> None:
        self._arguments = (str(folder), key)
        self._seed = seed
        self._ledger = home / f"{key}.jsonl"
        self._log = home / f"{key}.log"
        self._lives = 0
        self.start()

    def start(self) -> None:
        self._lives += 1
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "chaos.book",
                    *self._arguments,
                    f"{self._seed}-{self._lives}",
                    str(self._ledger),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )

    def wait_attached(self) -> None:
        """Until it has found the hub for the first time."""
        deadline = time.monotonic() + QUIET_SECONDS
        while not self._ledger.exists() and time.monotonic() < deadline:
            self.check()
            time.sleep(0.02)

    def restart(self) -> None:
        """kill -9 for the kernel, and a new one."""
        self.process.kill()
        self.process.communicate()
        self.start()

    def check(self) -> None:
        """It must not have ended by itself."""
        if self.process.poll() is not None:
            raise ChaosError(f"a notebook ended with {self.process.returncode}:\n{self.words()}")

    def finish(self) -> dict[str, int]:
        """Let it end; what it has checked."""
        try:
            out, _ = self.process.communicate(timeout=QUIET_SECONDS)  # closes its input first
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGUSR1)  # its stacks go to its log
            time.sleep(0.5)
            self.process.kill()
            self.process.communicate()
            raise ChaosError(f"a notebook does not come to its end:\n{self.words()}") from None
        if self.process.returncode:
            raise ChaosError(f"a notebook ended with {self.process.returncode}:\n{self.words()}")
        counts: dict[str, int] = json.loads(out.splitlines()[-1])
        return counts

    def words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-60:])


class Storm:
    """Draws what happens next, and to whom."""

    def __init__(self, seed: int, folder: Path, notebooks: list[Notebook]) -> None:
        self._rng = random.Random(seed)
        self._folder = folder
        self._notebooks = notebooks
        self._nursery = psutil.Process(psutil.Process(folders.read_connection(folder).pid).ppid())
        self._hub_kills: list[float] = []
        self._stopped: list[tuple[float, int]] = []  # (until when, pid)
        self._burners: list[subprocess.Popen[bytes]] = []
        self.hits: dict[str, int] = {}
        self._kinds: list[tuple[int, Callable[[], bool]]] = [
            (30, self.kill_worker),
            (10, self.kill_actor),
            (3, self.stop_actor),
            (3, self.end_actor_kindly),
            (12, self.stop_worker),
            (8, self.end_worker_kindly),
            (8, self.kill_hub),
            (6, self.kill_hub_and_workers),
            (6, self.stop_hub),
            (8, self.kill_kernel),
            (6, self.stop_kernel),
            (3, self.kill_template),
            (4, self.slow_down),
        ]

    def blow(self, seconds: float) -> None:
        """For so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self._rng.uniform(0.02, 0.6))
            self._wake()
            weights = [weight for weight, _ in self._kinds]
            (_, hit) = self._rng.choices(self._kinds, weights)[0]
            if hit():
                self.hits[hit.__name__] = self.hits.get(hit.__name__, 0) + 1
            for notebook in self._notebooks:
                notebook.check()

    def calm(self) -> None:
        """Let everyone go on."""
        self._wake(everyone=True)
        for burner in self._burners:
            burner.kill()
            burner.wait()

    # --- whom ---------------------------------------------------------------------------------------

    def _children(self, prefix: str) -> list[psutil.Process]:
        found = []
        for child in self._nursery.children():
            try:
                if child.name().startswith(prefix):
                    found.append(child)
            except psutil.Error:
                continue
        return sorted(found, key=lambda child: child.pid)

    def _one(self, prefix: str) -> psutil.Process | None:
        found = self._children(prefix)
        return self._rng.choice(found) if found else None

    def _signal(self, process: psutil.Process | None, number: int) -> bool:
        try:
            if process is None:
                return False
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return False
        return True

    def _stop(self, process: psutil.Process | None, longest: float) -> bool:
        if process is None or not self._signal(process, signal.SIGSTOP):
            return False
        self._stopped.append((time.monotonic() + self._rng.uniform(0.05, longest), process.pid))
        return True

    def _wake(self, *, everyone: bool = False) -> None:
        now = time.monotonic()
        for one in list(self._stopped):
            if everyone or one[0] <= now:
                self._stopped.remove(one)
                try:
                    os.kill(one[1], signal.SIGCONT)
                except ProcessLookupError:
                    pass

    # --- what ---------------------------------------------------------------------------------------

    def kill_worker(self) -> bool:
        return self._signal(self._one("cellmesh-task"), signal.SIGKILL)

    def kill_actor(self) -> bool:
        return self._signal(self._one("cellmesh-count"), signal.SIGKILL)

    def stop_actor(self) -> bool:
        return self._stop(self._one("cellmesh-count"), 1.0)

    def end_actor_kindly(self) -> bool:
        return self._signal(self._one("cellmesh-count"), signal.SIGTERM)

    def stop_worker(self) -> bool:
        return self._stop(self._one("cellmesh-task"), 1.5)

    def end_worker_kindly(self) -> bool:
        """SIGTERM, as before a machine goes away."""
        return self._signal(self._one("cellmesh-task"), signal.SIGTERM)

    def kill_hub(self) -> bool:
        now = time.monotonic()
        self._hub_kills = [at for at in self._hub_kills if now - at < 60.0]
        if len(self._hub_kills) >= HUB_KILLS_A_MINUTE or not self._signal(
            self._one("cellmesh-hub"), signal.SIGKILL
        ):
            return False
        self._hub_kills.append(now)
        return True

    def kill_hub_and_workers(self) -> bool:
        if not self.kill_hub():
            return False
        for worker in [*self._children("cellmesh-task"), *self._children("cellmesh-count")]:
            if self._rng.random() < 0.7:
                self._signal(worker, signal.SIGKILL)
        return True

    def stop_hub(self) -> bool:
        return self._stop(self._one("cellmesh-hub"), 1.0)

    def kill_kernel(self) -> bool:
        self._rng.choice(self._notebooks).restart()
        return True

    def stop_kernel(self) -> bool:
        return self._stop(psutil.Process(self._rng.choice(self._notebooks).process.pid), 1.0)

    def kill_template(self) -> bool:
        return self._signal(self._one("cellmesh-templ"), signal.SIGKILL)

    def slow_down(self) -> bool:
        """Somebody else needs the cores for a moment."""
        burn = f"end = time.monotonic() + {self._rng.uniform(0.2, 1.5)}\nwhile time.monotonic() < end: pass"
        self._burners.append(subprocess.Popen([sys.executable, "-c", f"import time\n{burn}"]))
        return True


def run(seed: int, seconds: float, home: Path) -> Report:
    """One run. XDG_RUNTIME_DIR must be a folder of its own; `home` takes ledgers, logs and the journal."""
    runtime = Path(os.environ["XDG_RUNTIME_DIR"])
    folder = ensure_hub("chaos")
    report = Report(seed)
    notebooks = [Notebook(folder, f"book-{n}", seed * 10 + n, home) for n in range(2)]
    storm = Storm(seed, folder, notebooks)
    try:
        try:
            for notebook in notebooks:
                notebook.wait_attached()
            storm.blow(seconds)
        finally:
            storm.calm()
        report.hits = storm.hits
        pids = [process.pid for process in leftovers.processes(runtime)]
        report.journal = home / "journal"
        os.link(folders.data_folder("chaos") / "journal", report.journal)  # the hub removes its own
        for notebook in notebooks:
            for kind, count in notebook.finish().items():
                report.checked[kind] = report.checked.get(kind, 0) + count
    except BaseException:
        for notebook in notebooks:
            notebook.process.kill()
            notebook.process.communicate()
        raise
    left = leftovers.wait_until_gone(pids)
    if left:
        raise ChaosError(f"processes are left: {[psutil.Process(pid).name() for pid in left]}")
    files = leftovers.files(runtime)
    if files:
        raise ChaosError(f"{len(files)} files are left: {files[:10]}")
    return report
