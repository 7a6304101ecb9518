"""Large values in cells: over the network once a host, in place for its workers, and gone when replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.recording import Desk
from distributed import Client
from msgspec.structs import replace

from cellmesh.scheduler.engines.dask.engine import DaskEngine
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire import folders, system

SIZE = 3_000_000


@pytest.fixture
def desk(client: Client) -> Iterator[Desk]:
    """A session with two mesh workers on each of two hosts."""
    opened = Desk(DaskEngine(client), "freight")
    opened.mesh(4)
    yield opened
    opened.engine.close(end_session=True)


def in_memory(size: int) -> list[str]:
    """Segments of hubs beside Dask workers that hold so much, and little more."""
    folder = system.shared_memory_folder()
    begins = folders.segment_prefix("d")[:-1]
    sizes = {
        each: os.stat(f"{folder}/{each}").st_size for each in os.listdir(folder) if each.startswith(begins)
    }
    return [each for each, has in sizes.items() if size <= has < size + 4096]


SHOW = "import mmap\n(float(data.sum()), bool(data.flags.writeable))"


def on_all(desk: Desk, source: str, name: tuple[str, str]) -> list[Any]:
    task = desk.cell_task(source, names=(name,))
    tasks = [replace(task, index=number, worker=number) for number in range(4)]
    job = desk.launch("cell", tasks)
    assert desk.told.wait_settled(job, 4) == dict.fromkeys(range(4), "done"), desk.told.whys(job)
    return [desk.told.values(job)[number, 0] for number in range(4)]


def test_an_array_is_one_segment_a_host_and_goes_when_it_is_replaced(desk: Desk) -> None:
    array = np.arange(SIZE, dtype=float)
    (name,) = desk.captured({"data": array}, "data")
    assert on_all(desk, SHOW, name) == [(float(array.sum()), False)] * 4
    there = in_memory(array.nbytes)
    assert len(there) == 2
    assert len({os.stat(f"{system.shared_memory_folder()}/{each}").st_ino for each in there}) == 1
    (other,) = desk.captured({"data": array + 1}, "data")
    desk.engine.drop_blob(name[1])
    assert on_all(desk, SHOW, other) == [(float(array.sum()) + SIZE, False)] * 4
    assert not set(there) & set(os.listdir(system.shared_memory_folder()))


def test_a_value_that_waits_for_its_turn_is_there_when_the_notebooks_has_changed(desk: Desk) -> None:
    (name,) = desk.captured({"data": np.ones(SIZE)}, "data")
    code = desk.cell_task("import time\ntime.sleep(0.05)\nfloat(data[x])", names=(name,))
    blob = desk.blob(changed_to_over(code.payload))
    tasks = [
        replace(code, index=n, verb="over", payload=codec.dumps([n]), blobs=[blob, name[1]], worker=None)
        for n in range(40)
    ]
    job = desk.launch("over", tasks)
    desk.engine.drop_blob(name[1])
    assert set(desk.told.wait_settled(job, 40).values()) == {"done"}, desk.told.whys(job)


def changed_to_over(payload: Any) -> Any:
    """The code of a cell, once for each `x`."""
    return changed(codec.loads(payload), item_name="x")


NOTEBOOK = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()

def cell(text):
    shell.run_cell(text, store_history=True).raise_error()

cell("%load_ext cellmesh")
cell("import cellmesh as cm, numpy as np")
cell(f"cm.connect('dask', {sys.argv[1]!r})")
cell("put = cm.put(np.arange(3_000_000.0)); made = cm.submit(lambda n: np.full(n, 2.0), 3_000_000)")
cell("own = np.ones(3_000_000)")
cell("%%distributed --out sums\\nfloat((put * made).sum() + own.sum())")
cell("print(sums)")
cell("%%distributed --out theirs\\nnp.full(3_000_000, 5.0)")
cell("print(cm.submit(lambda a, b: float((a + b).sum()), theirs[0], put).result(30))")
cell("cell_made = theirs[1]")
cell("%%distributed --out again\\nfloat(cell_made.sum())")
cell("print(again)")
cell("cm.connect('inline')")
"""


def test_what_was_put_and_what_tasks_and_cells_made_is_used_in_all_of_them(
    client: Client, tmp_path: Path
) -> None:
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    command = [sys.executable, str(script), client.scheduler.address]
    environ = {**os.environ, "CELLMESH_ENGINE": "inline"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environ)
    products = float(SIZE * (SIZE - 1)) + SIZE
    sums = 5.0 * SIZE + SIZE * (SIZE - 1) / 2
    shown = [str([products] * 2), str(sums), str([5.0 * SIZE] * 2)]
    assert done.stdout.splitlines()[1:] == shown, done.stderr
