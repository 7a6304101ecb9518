"""A pool in the test's own process, as a script has it, on each engine.

Owns attaching and leaving. Never replaces a part of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from cellmesh.kernel import attaching
from cellmesh.kernel.session import Session
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub


def attach(name: str) -> Session:
    """Attach this process; a hub that this starts ends with the session."""
    if name == "inline":
        return attaching.connect("inline")
    return attaching.connect(EmbeddedEngine(ensure_hub(f"guests-{uuid.uuid4().hex[:8]}")))


@pytest.fixture(scope="module", params=["embedded", "inline"])
def pool(request: pytest.FixtureRequest) -> Iterator[Session]:
    """Two cores, shared by a module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLMESH_CPUS", "2")
        session = attach(request.param)
        yield session
        session.close(end_session=True)


embedded_only = pytest.mark.parametrize("pool", ["embedded"], indirect=True)
"""For tests of what needs processes: the inline engine runs each call as it is submitted."""
