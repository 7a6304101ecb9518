"""Doorbell, hub and session keys through a real Jupyter server, real kernels and a real hub."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import websocket
from support import leftovers
from support.server import TOKEN, Notebook, Server

RING = """
import json, os, socket
from pathlib import Path
from ipykernel import get_connection_file

def ring(bell=os.environ.get("CELLMESH_DOORBELL", "")):
    kernel = Path(get_connection_file()).stem.removeprefix("kernel-")
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(bell)
        line.sendall(json.dumps({"protocol": 1, "kernel_id": kernel, "pid": os.getpid()}).encode() + b"\\n")
        return line.makefile().readline()
"""


def ring(notebook: Notebook) -> dict[str, Any]:
    """Ring from inside the notebook's kernel, with what it inherited."""
    answer: dict[str, Any] = json.loads(notebook.run(RING + "print(ring())"))
    return answer


def ring_from_here(server: Server, line: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as bell:
        bell.connect(str(doorbell(server)))
        bell.sendall(line + b"\n")
        with bell.makefile() as file:
            answer: dict[str, Any] = json.loads(file.readline())
    return answer


def request(notebook: Notebook) -> bytes:
    return json.dumps({"protocol": 1, "kernel_id": notebook.kernel, "pid": 1}).encode()


def doorbell(server: Server) -> Path:
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "cellmesh" / f"doorbell-{server.pid}.sock"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def server(root: Path, runtime: Path) -> Iterator[Server]:
    with Server(root, environ={"CELLMESH_GRACE": "7"}) as running:
        yield running


def nothing_left(runtime: Path, pids: list[int]) -> None:
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.processes(runtime) == []
    assert leftovers.files(runtime) == []


def hub_pids(runtime: Path) -> list[int]:
    pids = [process.pid for process in leftovers.processes(runtime)]
    assert pids, "a hub should run"
    return pids


def test_the_first_ring_starts_the_hub_and_the_server_takes_it_along(server: Server, runtime: Path) -> None:
    assert server.ask("GET", "cellmesh/api/status") == {"hub": None}
    assert leftovers.processes(runtime) == []
    first, second = server.notebook("a.ipynb"), server.notebook("b.ipynb")
    answer, other = ring(first), ring(second)
    assert answer["grace"] == 7.0
    assert (answer["name"], other["name"]) == ("a.ipynb", "b.ipynb")
    assert answer["folder"] == other["folder"]
    assert answer["session"] != other["session"]
    assert (Path(answer["folder"]) / "connection.json").exists()
    hub = server.ask("GET", "cellmesh/api/status")["hub"]
    assert hub["name"] == f"server-{server.pid}"
    assert "cell" not in json.dumps(hub["sessions"])
    pids = hub_pids(runtime)
    first.close()
    second.close()
    server.stop()
    nothing_left(runtime, pids)


def test_rings_at_the_same_time_wait_for_one_start(server: Server) -> None:
    notebook = server.notebook()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ring_from_here(server, request(notebook)), range(8)))
    assert all("folder" in answer for answer in answers), answers
    assert len({json.dumps(answer) for answer in answers}) == 1
    notebook.close()


def test_a_key_outlives_kernels_and_follows_the_file(server: Server, root: Path) -> None:
    (root / "work").mkdir()
    server.ask("PUT", "api/contents/work/a.ipynb", {"type": "notebook", "format": "json", "content": EMPTY})
    notebook = server.notebook("work/a.ipynb")
    key = ring(notebook)["session"]
    notebook.restart()
    assert ring(notebook)["session"] == key
    notebook.close()

    notebook = server.notebook("work/a.ipynb")
    assert ring(notebook)["session"] == key, "a new kernel of the same notebook"
    # As JupyterLab renames an open notebook: the file, then the session.
    server.ask("PATCH", "api/contents/work/a.ipynb", {"path": "work/b.ipynb"})
    notebook.rename("work/b.ipynb")
    assert ring(notebook) | {"folder": ""} == {
        "folder": "",
        "session": key,
        "name": "work/b.ipynb",
        "grace": 7.0,
    }
    notebook.close()

    server.ask("PATCH", "api/contents/work/b.ipynb", {"path": "work/c.ipynb"})
    server.ask("PATCH", "api/contents/work", {"path": "play"})
    notebook = server.notebook("play/c.ipynb")
    assert ring(notebook)["session"] == key, "renamed while closed, and the folder above it"
    notebook.rename("elsewhere.ipynb")
    assert ring(notebook)["session"] == key, "the session alone was renamed"
    notebook.rename("play/c.ipynb")
    assert ring(notebook)["session"] == key
    notebook.close()

    server.ask("DELETE", "api/contents/play/c.ipynb")
    notebook = server.notebook("play/c.ipynb")
    assert ring(notebook)["session"] != key, "another notebook of that name"
    notebook.close()


def test_consoles_and_bare_kernels_have_sessions_of_their_own(server: Server) -> None:
    kernel = {"name": "python3"}
    console = server.ask(
        "POST", "api/sessions", {"path": "a.ipynb", "name": "Console 1", "type": "console", "kernel": kernel}
    )["kernel"]["id"]
    bare = server.ask("POST", "api/kernels", kernel)["id"]
    answers = [
        ring_from_here(server, json.dumps({"protocol": 1, "kernel_id": kernel_id, "pid": 1}).encode())
        for kernel_id in (console, bare)
    ]
    assert [answer["session"] for answer in answers] == [f"kernel-{console}", f"kernel-{bare}"]
    assert [answer["name"] for answer in answers] == ["Console 1", f"kernel {bare[:8]}"]


def test_rings_that_make_no_sense_get_a_sentence(server: Server, runtime: Path) -> None:
    strangers = {
        b"": "did not understand",
        b"\xff": "did not understand",
        b"[]": "did not understand",
        b'{"protocol": 1}': "did not understand",
        b'{"protocol": 99, "kernel_id": "x", "pid": 1}': "Install the same cellmesh version",
        b'{"protocol": 1, "kernel_id": "x", "pid": 1}': "not a kernel of the Jupyter server",
    }
    for line, words in strangers.items():
        answer = ring_from_here(server, line)
        assert list(answer) == ["error"]
        assert words in answer["error"]
    with socket.socket(socket.AF_UNIX) as bell:  # longer than any request: hung up on
        bell.connect(str(doorbell(server)))
        try:
            bell.sendall(b"x" * 1_000_000)
            assert bell.recv(100) == b""
        except ConnectionError:
            pass
    assert leftovers.processes(runtime) == [], "none of these started a hub"


def test_a_killed_server_leaves_nothing(server: Server, runtime: Path) -> None:
    notebook = server.notebook()
    ring(notebook)
    pids = hub_pids(runtime)
    assert doorbell(server).exists()
    notebook.close(shut_down=False)
    server.kill()
    nothing_left(runtime, pids)


def test_a_killed_hub_comes_back_and_an_ended_one_starts_at_the_next_ring(
    server: Server, runtime: Path
) -> None:
    notebook = server.notebook()
    ring(notebook)
    pids = hub_pids(runtime)
    server.ask("POST", "cellmesh/api/stop", {})
    assert leftovers.wait_until_gone(pids, timeout=0) == [], "stop answers when it is over"
    assert server.ask("GET", "cellmesh/api/status") == {"hub": None}
    answer = ring(notebook)
    assert (Path(answer["folder"]) / "connection.json").exists()
    assert not set(pids) & set(hub_pids(runtime))
    for pid in hub_pids(runtime):
        os.kill(pid, 9)
    assert leftovers.wait_until_gone(hub_pids_or_none(runtime)) == []
    answer = ring(notebook)
    assert server.ask("GET", "cellmesh/api/status")["hub"] is not None
    notebook.close()


def hub_pids_or_none(runtime: Path) -> list[int]:
    return [process.pid for process in leftovers.processes(runtime)]


def test_an_open_page_sees_the_hub_come_and_go(server: Server) -> None:
    stream = websocket.create_connection(
        server.url.replace("http", "ws") + "/cellmesh/api/stream",
        header={"Authorization": f"token {TOKEN}"},
        timeout=30,
    )
    try:
        assert json.loads(stream.recv()) == {"hub": None}
        notebook = server.notebook()
        ring(notebook)
        assert json.loads(stream.recv())["hub"]["name"] == f"server-{server.pid}"
        server.ask("POST", "cellmesh/api/stop", {})
        while json.loads(stream.recv()) != {"hub": None}:
            pass
        notebook.close()
    finally:
        stream.close()


def test_without_a_usable_runtime_folder_the_server_says_so_and_goes_on(root: Path, runtime: Path) -> None:
    (runtime / "cellmesh").mkdir()
    (runtime / "cellmesh").chmod(0o755)
    with Server(root) as server:
        assert server.ask("GET", "cellmesh/api/status") == {"hub": None}
        notebook = server.notebook()
        assert notebook.run("import os; print('CELLMESH_DOORBELL' in os.environ)") == "False\n"
        notebook.close()
    lines = [line for line in server.log if "cellmesh:" in line]
    assert len(lines) == 1, lines
    assert "chmod 700" in lines[0]


def test_two_servers_have_two_hubs_and_a_kernel_finds_its_own(server: Server, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    bell = {"CELLMESH_DOORBELL": str(doorbell(server))}  # as from a terminal of the first server
    with Server(tmp_path / "other", environ=bell) as other:
        here, there = server.notebook(), other.notebook()
        assert ring(here)["folder"] != ring(there)["folder"]
        here.close()
        there.close()


EMPTY = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
