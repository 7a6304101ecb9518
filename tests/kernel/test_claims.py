"""What nobody wants any more is freed, also if it was still running when it was dropped."""

from pathlib import Path

import pytest

from .conftest import Kernel

LOAD = """
import gc, glob, os, signal, time
import cellmesh as cm
import numpy as np
from cellmesh.kernel import attaching

session = attaching.current()

def segments():
    found = glob.glob("/dev/shm/" + "-".join(session.engine.object_prefix().split("-")[:3]) + "*")
    return [name for name in found if not name.endswith("R")]  # those are kept to be written again

def held(x):
    while not os.path.exists("gate"):
        time.sleep(0.01)
    return np.ones(200_000)

def known():
    return [job.id for one in session.engine.status().sessions for job in one.jobs]
"""
DROPPED = """
gc.collect()
session.drain_claims()
before = known()
open("gate", "w").close()
while job.over < len(job.records) or segments():  # each call lasts until the hub has answered
    cm.submit(abs, 1).result()
"""


@pytest.fixture
def engine_name() -> str:
    return "embedded"


@pytest.fixture
def fresh(runtime: Path, kernel: Kernel) -> Kernel:
    """Its hub is its own: no other test's segments are seen."""
    kernel.ok(LOAD)
    return kernel


def test_a_map_that_is_dropped_while_it_runs(fresh: Kernel) -> None:
    fresh.ok("r = cm.map(held, range(12)); job = r.job\ndel r")
    fresh.ok(DROPPED)
    fresh.ok("while job.id in session.jobs: cm.submit(abs, 1).result()")
    assert (
        fresh.ok("job.id in before, job.id in known(), job in session.history").result
        == "(True, False, True)"
    )


def test_a_future_that_is_dropped_while_it_runs(fresh: Kernel) -> None:
    """Another call of the same cell is still wanted."""
    fresh.ok("f = cm.submit(held, 1); other = cm.submit(abs, -2); job = f.job\ndel f")
    fresh.ok(DROPPED)
    assert (
        fresh.ok("job.id in session.jobs, other.result(), job.id in session.jobs").result
        == "(True, 2, False)"
    )
    assert fresh.ok("job.id in known()").result == "False"


def test_the_engine_remembers_only_what_can_still_come(fresh: Kernel) -> None:
    """Once each, also from a hub that came back and sends again what is unclaimed."""
    fresh.ok("kept = cm.map(abs, range(-4, 0)); kept.wait(); taken = cm.map(abs, [1, 2]).result()")
    fresh.ok("cm.submit(abs, 1).result()")
    assert fresh.ok("list(session.engine._delivered) == [kept.job.id]").result == "True"
    fresh.ok("os.kill(session.engine.status().pid, signal.SIGKILL)")
    assert fresh.ok("cm.map(abs, [5]).result()").result == "[5]"
    assert fresh.ok("kept.progress(), kept.job.over == len(kept.job.records)").result == "((4, 4), True)"
    assert fresh.ok("kept.result(), len(session.engine._delivered)").result == "([4, 3, 2, 1], 0)"


def test_a_future_goes_with_its_last_reference(fresh: Kernel) -> None:
    """Not only when Python looks for cycles: its result may be large."""
    fresh.ok("import weakref\ngc.disable()")
    fresh.ok("many = [cm.submit(abs, -x) for x in range(50)]; found = [f.result() for f in many]")
    fresh.ok("refs = [weakref.ref(f) for f in many]\ndel many")
    assert fresh.ok("sum(ref() is not None for ref in refs)").result == "0"
