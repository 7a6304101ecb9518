"""Schedulers and workers of other versions, or without cellmesh: real processes, told apart by a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cellmesh.scheduler.engines.contract import EngineError, VersionMismatchError
from cellmesh.scheduler.engines.dask.connecting import engine_on

DEADLINE = 30.0

OTHER = {"cellmesh": "0.0.7"}
NONE = {"cellmesh": ""}
DASK = {"distributed": "1999.1.0"}

HIDDEN = """
import importlib.metadata
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "cellmesh":
            raise ModuleNotFoundError(name, name=name)

def version(name, installed=importlib.metadata.version):
    if name == "cellmesh":
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)

sys.meta_path.insert(0, Hidden())
importlib.metadata.version = version
"""
"""In a Python that begins so, there is no cellmesh."""


def lay_out(folder: Path, versions: dict[str, str]) -> None:
    """What is first in the path of a process that is to have these versions, or "" for none."""
    folder.mkdir()
    for name, version in versions.items():
        if not version:
            (folder / "sitecustomize.py").write_text(HIDDEN)
            continue
        about = folder / f"{name}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


Start = Callable[[dict[str, str], dict[str, str]], str]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Start]:
    """Starts a scheduler and a worker, which have these versions; the address."""
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:

        def begin(module: str, versions: dict[str, str], *options: str) -> None:
            folder = tmp_path / module
            lay_out(folder, versions)
            environ = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
            command = [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1"]
            quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            words = [*command, "--scheduler-file", str(file), *options]
            process = subprocess.Popen(words, env=environ, cwd=folder, **quiet)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        def start(scheduler: dict[str, str], worker: dict[str, str]) -> str:
            begin("dask_scheduler", scheduler, "--port", "0", "--dashboard-address", ":0")
            end = time.monotonic() + DEADLINE
            while not file.exists():
                assert time.monotonic() < end
                time.sleep(0.02)
            begin("dask_worker", worker, "--nthreads", "1", "--no-nanny", "--no-dashboard")
            found: str = json.loads(file.read_text())["address"]
            return found

        yield start


@pytest.mark.parametrize(
    ("scheduler", "worker", "words"),
    [
        ({}, OTHER, [r"worker tcp://\S+ .* 0\.0\.7", "Install the same ones"]),
        (OTHER, {}, [r"scheduler .* 0\.0\.7", "Install the same ones"]),
        ({}, DASK, [r"worker tcp://\S+ .* 1999\.1\.0"]),
        ({}, NONE, ["cellmesh is not installed where worker tcp", "PipInstall"]),
        (NONE, {}, ["cellmesh is not installed where the scheduler runs", "start the scheduler again"]),
    ],
    ids=[
        "another cellmesh",
        "another in the scheduler",
        "another dask",
        "no cellmesh",
        "none in the scheduler",
    ],
)
def test_who_has_what_is_told(
    cluster: Start, scheduler: dict[str, str], worker: dict[str, str], words: list[str]
) -> None:
    address = cluster(scheduler, worker)
    with pytest.raises(EngineError) as raised:
        engine_on(address)
    assert isinstance(raised.value, VersionMismatchError), raised.value
    for each in words:
        raised.match(each)
