"""Kernels of notebooks without a notebook: processes that attach to a hub as one.

Owns the attaching under a key of one's own, so that a later process of the same key is the same notebook.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cellmesh.kernel import attaching, identity
from cellmesh.kernel.session import Session
from cellmesh.scheduler.engines.contract import SessionSpec
from cellmesh.scheduler.engines.embedded import EmbeddedEngine

GRACE = 60.0


def attach(folder: Path, key: str) -> Session:
    """Be the kernel of this notebook."""
    spec = SessionSpec(key, key, GRACE, identity.interpreter())
    left = attaching.attached()
    session = attaching._keep(attaching._attach(EmbeddedEngine(folder), spec))
    if left is not None:  # only now: a hub that nobody uses ends
        left.close(end_session=left.spec.grace == 0)
    return session


def start(folder: Path, key: str, code: str) -> subprocess.Popen[bytes]:
    """A kernel of this notebook in a process of its own, which runs this code (`cm` is there)."""
    lines = (
        "import pathlib",
        "import cellmesh as cm",
        "from support.kernels import attach",
        f"attach(pathlib.Path({str(folder)!r}), {key!r})",
        code,
    )
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
