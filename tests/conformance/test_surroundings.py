"""Folder, environment and path of tasks, on every engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from conformance.recording import Desk, interpreter

pytestmark = pytest.mark.promise("surroundings")


def test_surroundings_follow_the_kernel(desk: Desk, tmp_path: Path) -> None:
    def surroundings() -> tuple[str, str | None, str]:
        import os
        import sys

        return os.getcwd(), os.environ.get("CONFORMANCE"), sys.path[-1]

    environ = {**os.environ, "CONFORMANCE": "yes"}
    path = [*sys.path, str(tmp_path)]
    desk.engine.set_context(interpreter(cwd=str(tmp_path), environ=environ, path=path))
    assert desk.value(desk.call(surroundings)) == (str(tmp_path), "yes", str(tmp_path))
    desk.engine.set_context(interpreter())
    assert desk.value(desk.call(surroundings)) == (os.getcwd(), None, sys.path[-1])


@pytest.mark.promise("one folder")
def test_a_missing_working_directory_is_a_clear_error(desk: Desk, tmp_path: Path) -> None:
    desk.engine.set_context(interpreter(cwd=str(tmp_path / "gone")))
    job = desk.call(int)
    assert desk.told.states(job) == {0: "failed"}
    assert desk.value(job).type_name == "NoSuchFolderError"
    assert "gone" in desk.value(job).message
