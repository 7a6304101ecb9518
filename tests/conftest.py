"""What every test shares: a runtime folder of its own, and the count of what is left at the end.

Owns the isolation from the user's own hubs. Never replaces a real part by a fake one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import leftovers

_LEAKING = ("CELLMESH_DOORBELL", "CELLMESH_GRACE", "JPY_SESSION_NAME")


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is collected: tests must never meet, or sweep away, the user's own hubs."""
    folder = tempfile.mkdtemp(prefix="cm-", dir="/tmp")  # short: a socket's path has some 100 bytes
    config.stash[_RUNTIME] = Path(folder)
    os.environ["XDG_RUNTIME_DIR"] = folder
    for name in _LEAKING:
        os.environ.pop(name, None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing on the machine that runs the tests."""
    leftovers.clear(config.stash[_RUNTIME])


_RUNTIME = pytest.StashKey[Path]()


@pytest.fixture(autouse=True)
def _own_runtime_folder(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """Also for tests that run after one which changed it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(pytestconfig.stash[_RUNTIME]))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder for one test alone; hubs of other tests are not seen in it."""
    folder = Path(tempfile.mkdtemp(prefix="cm-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    leftovers.clear(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name the reason of each skip that the machine imposes."""
    if item.get_closest_marker("gpu") and shutil.which("nvidia-smi") is None:
        pytest.skip("needs an NVIDIA GPU, and this machine has none")
