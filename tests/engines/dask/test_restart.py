"""A kernel that is gone, and the next one of its notebook: jobs wait on the cluster."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from conformance.recording import DEADLINE
from distributed import Client
from engines.dask.pooling import Table

from cellmesh.scheduler.engines.contract import SessionBusyError

FIRST = """
import sys, time
from pathlib import Path
from distributed import Client
from engines.dask.pooling import Table

folder = sys.argv[3]

def run(x):
    print("item", x)
    while x == 9 and not Path(folder, "go").exists():
        time.sleep(0.01)
    return b"r" * 100_000 if x == 5 else x

client = Client(sys.argv[1], set_as_default=False)
table = Table(client, sys.argv[2], grace=60)
table.launch(table.each(run, range(10), 2), background=True)
table.told.wait(lambda: len(table.told.raw(1)) == 9, "nine items")
print("ready", flush=True)
time.sleep(600)
"""


def killed_kernel(client: Client, session: str, folder: Path) -> None:
    """A process launches a map of which one item still runs, and is killed."""
    environ_path = [path for path in sys.path if path]
    code = f"import sys; sys.path[:0] = {environ_path!r}\n{FIRST}"
    address = client.scheduler.address
    with subprocess.Popen(
        [sys.executable, "-c", code, address, session, str(folder)], stdout=subprocess.PIPE
    ) as kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == b"ready\n"
        kernel.kill()


def taken_over(client: Client, session: str) -> Table:
    """The next kernel's table: the scheduler may not have noticed yet that the first is gone."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return Table(client, session)
        except SessionBusyError:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_job_outlives_its_kernel_and_brings_the_next_all_of_it(client: Client, tmp_path: Path) -> None:
    session = uuid.uuid4().hex
    killed_kernel(client, session, tmp_path)
    table = taken_over(client, session)
    (info,) = table.survivors
    assert (info.items, info.done, info.running, info.finished, info.background) == (10, 8, 1, False, True)
    table.pool.attach_job(info.id)
    table.told.wait(lambda: len(table.told.raw(info.id)) == 9, "what was done")
    (tmp_path / "go").touch()
    assert set(table.told.wait_settled(info.id, 5).values()) == {"done"}
    values = [value for _, value in sorted(table.told.values(info.id).items())]
    assert values == [0, 1, 2, 3, 4, b"r" * 100_000, 6, 7, 8, 9]
    lines = table.told.text(info.id).splitlines()
    assert sorted(lines) == [f"item {n}" for n in range(10)]
    table.pool.claim(info.id, None)
    table.close()


def test_what_was_claimed_is_not_kept_and_a_living_kernel_keeps_its_session(client: Client) -> None:
    session = uuid.uuid4().hex
    first = Table(client, session, grace=60)
    kept, taken = first.call(abs, -1), first.call(abs, -2)
    first.pool.claim(taken, None)
    with Client(client.scheduler.address, set_as_default=False) as other, pytest.raises(SessionBusyError):
        Table(other, session)
    first.pool.close(end_session=False)
    second = Table(client, session)
    assert [info.id for info in second.survivors] == [kept]
    second.close()


def test_nothing_is_kept_of_a_session_that_has_ended(client: Client) -> None:
    session = uuid.uuid4().hex
    table = Table(client, session, grace=60)
    table.call(abs, -1)
    table.close()
    known = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))
    ours = {"cellmesh-running"}  # under which Dask notes what runs unwanted, of all sessions
    assert {name for name in known if name.startswith("cellmesh-")} <= ours
    again = Table(client, session)
    assert again.survivors == []
    again.close()
