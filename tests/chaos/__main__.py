"""The long chaos run: `make chaos`, `make chaos CHAOS_ARGS="--seed 7 --minutes 30"`.

Runs storms of half a minute, each with a seed of its own, until the time is over. At the first failure it
stops, leaves everything that the run wrote, and says how to repeat it.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos import retelling, storm
from tests.support import leftovers


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat this one storm")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long one storm is")
    chosen = parser.parse_args()
    end = time.monotonic() + chosen.minutes * 60
    while True:
        seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
        if not one(seed, chosen.seconds):
            return 1
        if chosen.seed is not None or time.monotonic() > end:
            return 0


def one(seed: int, seconds: float) -> bool:
    """One storm; whether all was well."""
    home = Path(tempfile.mkdtemp(prefix="cm-chaos-", dir="/tmp"))
    runtime = Path(tempfile.mkdtemp(prefix="cm-", dir="/tmp"))
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    os.environ["CELLMESH_CPUS"] = "2"
    print(f"chaos: seed {seed}, {seconds:g} s", flush=True)
    try:
        report = storm.run(seed, seconds, home)
        assert report.journal is not None
        told = retelling.retell(report.journal)
    except BaseException as error:
        print(f"chaos: {type(error).__name__}: {error}", flush=True)
        print(f"chaos: what the run wrote is in {home}; to run it again:", flush=True)
        print(f'chaos:     make chaos CHAOS_ARGS="--seed {seed} --seconds {seconds:g}"', flush=True)
        if not isinstance(error, Exception):
            raise
        return False
    finally:
        leftovers.clear(runtime)
    print(
        f"chaos: {sum(report.checked.values())} results right, {told} events retold; {report.hits}",
        flush=True,
    )
    shutil.rmtree(home)
    return True


if __name__ == "__main__":
    sys.exit(main())
