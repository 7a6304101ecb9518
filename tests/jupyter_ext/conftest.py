"""pytest-jupyter's fixtures, for the tests of this folder only (some act on every test)."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """A server with our extension."""
    return {"ServerApp": {"jpserver_extensions": {"cellmesh.jupyter_ext": True}}}
