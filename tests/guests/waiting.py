"""Waiting for what happens, within a bound; also in workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for what happens, within a bound."""
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, f"not within 30 s: {what}"
        time.sleep(0.01)


def hold(started: Path, go: Path) -> str:
    """A call that has begun once `started` is there, and ends once `go` is."""
    started.touch()
    until(go.exists, "go")
    return "held"
