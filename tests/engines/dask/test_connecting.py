"""What stands in the way of a cluster is one clear error; else the notebook moves there and back."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.connecting import engine_on


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:1", "No Dask scheduler answers at tcp://127.0.0.1:1"),
        ("127.0.0.1", "missing port number"),
        ("http://127.0.0.1:8787", "is no address of a Dask scheduler"),
        ("tcp://10.255.255.1:8786", "is not encrypted"),
    ],
)
def test_an_address_where_nobody_is_says_so(address: str, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        engine_on(address)


def test_another_kind_of_server_is_no_scheduler() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(EngineError, match=r"(no|No) Dask scheduler"):
                engine_on(f"tcp://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def test_what_is_no_cluster_at_all_says_what_would_be() -> None:
    with pytest.raises(EngineError, match="to what"):
        engine_on(None)
    with pytest.raises(EngineError, match="to what"):
        engine_on(7)


def test_a_closed_client_is_told(client: Client) -> None:
    with Client(client.scheduler.address, set_as_default=False) as closed:
        pass
    with pytest.raises(EngineError, match="closed"):
        engine_on(closed)


def test_a_cluster_without_workers_is_not_waited_for() -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        pytest.raises(EngineError, match="has no workers"),
    ):
        engine_on(cluster)


SCRIPT = """
import os, sys
import cellmesh as cm

cm.connect("dask", sys.argv[1])
there = cm.map(lambda x: (x * x, os.getpid()), range(8)).result()
cm.start(2)
pids = {pid for _, pid in there}

@cm.actor(name="counter")
class Counter:
    def __init__(self):
        self.n = 0
    def add(self):
        self.n += 1
        return self.n, os.getpid()
    def count(self, n):
        yield from range(n)

counter = Counter.start()
first, second = counter.add().result(), counter.add().result()
print([square for square, _ in there], os.getpid() in pids, first[0], second[0], list(counter.count(3)))
cm.connect("embedded")
print(cm.submit(pow, 2, 10).result())
"""


def test_a_script_moves_to_a_cluster_and_back(client: Client, tmp_path: Path, runtime: Path) -> None:
    script = tmp_path / "moves.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), client.scheduler.address], capture_output=True, text=True, timeout=90
    )
    assert done.stdout == "[0, 1, 4, 9, 16, 25, 36, 49] False 1 2 [0, 1, 2]\n1024\n", done.stderr


WRONG = """
import sys
import cellmesh as cm

def tried(call, *args):
    try:
        call(*args)
    except Exception as error:
        print(type(error).__name__, "|", error)
        assert error.__suppress_context__ or error.__context__ is None

cm.connect("dask", sys.argv[1])
cm.start(2)
big = cm.submit(lambda: b"r" * 1_000_000)
cm.wait([big])
tried(cm.connect, "dusk")
tried(cm.connect, 42)
tried(cm.connect, "dask", "tcp://127.0.0.1:1")
tried(cm.connect, "dask", "tls://127.0.0.1:1")
from cellmesh.kernel import attaching
print(attaching.current().engine.name, len(attaching.current().ready_workers()))
cm.connect("embedded")
tried(big.result)
"""


def test_a_connect_that_fails_leaves_the_notebook_where_it_was(
    client: Client, tmp_path: Path, runtime: Path
) -> None:
    script = tmp_path / "wrong.py"
    script.write_text(WRONG)
    address = client.scheduler.address
    done = subprocess.run([sys.executable, str(script), address], capture_output=True, text=True, timeout=90)
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout + done.stderr
    assert lines[0].startswith('EngineError | There is no engine "dusk"')
    assert lines[1].startswith("EngineError | cm.connect(42): to which engine?")
    assert "No Dask scheduler answers at tcp://127.0.0.1:1" in lines[2]
    assert "tls:// needs security=Security(...)" in lines[3]
    assert lines[4] == "dask 2", done.stdout + done.stderr
    assert lines[5].startswith("ObjectGoneError | An object of"), done.stderr
    assert f"stayed behind with the Dask cluster at {address}" in lines[5]
