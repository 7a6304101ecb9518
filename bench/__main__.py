"""`make bench`: print the table.

    python -m bench                # every case, every installed contender
    python -m bench submit cell    # some cases
    python -m bench --only cellmesh,Ray --rounds 5

Read next: `harness.py`.
"""

import argparse
import importlib
import os
import platform
import sys
from functools import partial

from . import core_events, stop
from .contenders import base, names
from .harness import Driver, Table, cold, rounds

CASES = {  # name -> (title, unit, scale, operations a round)
    "submit": ("no-op submit, round trip", "µs", 1e6, 100),
    "submit_many": ("no-op submits, 1,000 outstanding, per task", "µs", 1e6, 1000),
    "cell": ("no-op %%distributed cell on 2 workers", "µs", 1e6, 20),
    "attach": (
        "new process attaches to a running pool: interpreter start, import, first result, end",
        "ms",
        1e3,
        1,
    ),
}


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("cases", nargs="*", help=f"cold, stop, core, {', '.join(CASES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="", help="contenders, separated by commas")
    options = parser.parse_args()
    wanted = options.cases or ["cold", *CASES, "stop", "core"]
    who = [name for name in names() if not options.only or name in options.only.split(",")]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {options.rounds} rounds", flush=True)
    missing = [name for name in base._WHERE if name not in names()]
    if missing:
        print(f"not installed: {', '.join(missing)}", flush=True)
    if "cold" in wanted:
        modules = {name: importlib.import_module(f"bench.contenders.{base._WHERE[name][0]}") for name in who}
        measures = [(name, partial(cold, module.COLD)) for name, module in modules.items()]
        table = Table("cold start, import to first result", "ms", 1e3)
        show(rounds(max(3, options.rounds // 2), measures, table))
    if set(wanted) & set(CASES):
        drivers = [Driver(name) for name in who]
        for driver in drivers:
            note = driver.version if driver.alive else "did not start"
            print(f"  {driver.name} {note}", flush=True)
        drivers = [driver for driver in drivers if driver.alive]
        for case, (title, unit, scale, count) in CASES.items():
            if case in wanted:
                able = [(d.name, partial(d.measure, case, count)) for d in drivers]
                show(rounds(options.rounds, able, Table(title, unit, scale)))
        for driver in drivers:
            driver.close()
    if "stop" in wanted:
        for kind in stop.BUSY:
            table = Table(f"Stop of a busy {kind}: interrupt to idle kernel", "ms", 1e3)
            for value in stop.seconds(kind, options.rounds):
                table.add("cellmesh", value)
            show(table)
    if "core" in wanted:
        table = Table("the pure core, per event", "µs", 1e6)
        for _ in range(options.rounds):
            table.add("cellmesh", core_events.bench_core() / 1e6)
        show(table)


def show(table: Table) -> None:
    """Print one case."""
    print("\n".join(table.lines()), end="\n\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
