"""`make bench`: print each case as it is measured, and one table at the end.

    python -m bench                          # every case, every installed contender: some ten minutes
    python -m bench submit cancel kill       # some cases
    python -m bench --only cellmesh,Ray --rounds 3

Read next: `cases.py` (what is asked), `harness.py` (how it is paired), `contenders/` (how each is done).
"""

import argparse
import importlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from cellmesh.scheduler.wire import folders

from . import attaching, cases, core_events, path, simulation, stop, verdict
from .cases import Case
from .contenders import base, names
from .harness import Driver, Table, cold, rounds

OURS = "cellmesh"
OTHERS = ("cold", "kernel", "stop", "core", "simulate", "path")  # measured without drivers


def main() -> None:
    """Run the cases asked for."""
    every = [*OTHERS[:1], *cases.TOGETHER, *cases.ON_DASK, *cases.ALONE, *OTHERS[1:]]
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("cases", nargs="*", help=f"{', '.join(every)} (default: all)")
    parser.add_argument("--rounds", type=int, default=11, help="at most; slow cases do fewer (default: 11)")
    parser.add_argument("--only", default="", help="contenders, separated by commas")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(every):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    wanted = options.cases or every
    who = [name for name in names() if not options.only or name in options.only.split(",")]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {options.rounds} rounds", flush=True)
    missing = [name for name in base.WHERE if name not in names()]
    if missing:
        print(f"not installed: {', '.join(missing)}", flush=True)
    rows: list[verdict.Row] = []
    # The user's own hubs shall neither help nor be disturbed.
    runtime = os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="cmb-", dir="/tmp")
    try:
        for case, table in measured(wanted, who, options.rounds):
            print("\n".join(table.lines()), end="\n\n", flush=True)
            rows.append((case, table))
    finally:
        deadline = time.monotonic() + 20
        while any(folders.hubs().values()) and time.monotonic() < deadline:
            time.sleep(0.1)  # the last one sweeps up after itself
        shutil.rmtree(runtime, ignore_errors=True)
    print("\n".join(verdict.lines(rows)))


def measured(wanted: Sequence[str], who: Sequence[str], most: int) -> Iterator[verdict.Row]:
    """Every case asked for, one after the other."""
    if "cold" in wanted:
        modules = {name: importlib.import_module(f"bench.contenders.{base.WHERE[name][0]}") for name in who}
        measures = [(name, partial(cold, module.COLD)) for name, module in modules.items()]
        yield cases.COLD, rounds(min(most, cases.COLD.most_rounds), measures, _table(cases.COLD))
    modules = {name: base.WHERE[name][0] for name in who}
    yield from driven(_some(cases.TOGETHER, wanted), modules, most)
    yield from driven(
        _some(cases.ON_DASK, wanted), {name: base.ON_DASK[name] for name in who if name in base.ON_DASK}, most
    )
    if OURS in who:
        yield from driven(_some(cases.ALONE, wanted), {OURS: modules[OURS]}, most)
        yield from undriven(wanted, most)


def driven(asked: Mapping[str, Case], who: Mapping[str, str], most: int) -> Iterator[verdict.Row]:
    """Cases that contenders do in processes of their own, which stay up from the first case to the last."""
    drivers = [Driver(name, module) for name, module in who.items()] if asked else []
    for driver in drivers:
        print(f"  {driver.name} {driver.version if driver.alive else 'did not start'}", flush=True)
    living = [driver for driver in drivers if driver.alive]
    try:
        for name, case in asked.items():
            able = [
                (driver.name, partial(driver.measure, name, case.fewer.get(driver.name, case.count)))
                for driver in living
            ]
            yield case, rounds(min(most, case.most_rounds), able, _table(case))
    finally:
        for driver in drivers:
            driver.close()


def undriven(wanted: Sequence[str], most: int) -> Iterator[verdict.Row]:
    """Cases of our own that need kernels, or no process at all."""
    if "kernel" in wanted:
        inside, whole = _table(cases.KERNEL), _table(cases.KERNEL_START)
        for first, all_of_it in attaching.seconds(min(most, cases.KERNEL.most_rounds)):
            inside.add(OURS, first)
            whole.add(OURS, all_of_it)
        yield cases.KERNEL, inside
        yield cases.KERNEL_START, whole
    if "stop" in wanted:
        for kind in stop.BUSY:
            case = Case(cases.STOP.format(kind))
            table = _table(case)
            for value in stop.seconds(kind, most):
                table.add(OURS, value)
            yield case, table
    if "core" in wanted:
        table = _table(cases.CORE)
        for _ in range(most):
            table.add(OURS, core_events.bench_core() / 1e6)
        yield cases.CORE, table
    if "simulate" in wanted:
        run = simulation.simulate()
        weight = simulation.simulate(weigh=True).bytes_per_task
        for case, value in ((cases.SIMULATED, run.microseconds / 1e6), (cases.SIMULATED_MEMORY, weight)):
            table = _table(case)
            table.add(OURS, value)
            yield case, table
    if "path" in wanted:
        for mode, title in path.MODES.items():
            case = Case(cases.PATH.format(title), "µs", 1e6)
            table = _table(case)
            for _ in range(min(most, 3)):
                for where, seconds in path.measured(mode).items():
                    table.add(where, seconds)
            yield case, table


def _some(known: Mapping[str, Case], wanted: Sequence[str]) -> dict[str, Case]:
    return {name: case for name, case in known.items() if name in wanted}


def _table(case: Case) -> Table:
    return Table(case.title, case.unit, case.scale)


if __name__ == "__main__":
    sys.exit(main())
