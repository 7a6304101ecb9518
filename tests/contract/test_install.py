"""A user's install: the wheel into an empty environment, then a server there and the quickstart."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path

import nbformat
import pytest
from support import leftovers
from support.server import Server

from .test_packaging import ROOT, wheel  # noqa: F401 - a fixture

QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """An environment with nothing but cellmesh and what it depends on; its Python."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run([*pip, wheel], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"pip install of the wheel failed:\n{done.stderr[-3000:]}")
    return python


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_extension_is_enabled_and_the_doctor_is_content(
    installed: Path, tmp_path: Path, runtime: Path
) -> None:
    listed = subprocess.run(
        [installed, "-m", "jupyter", "server", "extension", "list"],
        cwd=tmp_path,
        env=plain_environ(installed, tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    text = listed.stdout + listed.stderr
    assert "cellmesh.jupyter_ext" in text
    assert "enabled" in text.partition("cellmesh.jupyter_ext")[2].splitlines()[0]
    doctor = subprocess.run(
        [installed, "-m", "cellmesh", "doctor"],
        cwd=tmp_path,
        env=plain_environ(installed, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "extension is enabled in this environment" in doctor.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_quickstart_passes_through_a_server_session(
    installed: Path, tmp_path: Path, runtime: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    book = nbformat.read(QUICKSTART, as_version=4)
    nbformat.write(book, root / QUICKSTART.name)
    # No argument names the extension: the wheel's own setting enables it.
    with Server(
        root, python=str(installed), environ=plain_environ(installed, tmp_path), arguments=()
    ) as server:
        assert server.ask("GET", "cellmesh/api/status") == {"hub": None}
        notebook = server.notebook(QUICKSTART.name)
        where = notebook.run("import cellmesh; print(cellmesh.__file__)").strip()
        assert Path(where).is_relative_to(installed.parents[1])
        for cell in book.cells:
            if cell.cell_type == "code":
                notebook.run(cell.source, timeout=120)
        hub = server.ask("GET", "cellmesh/api/status")["hub"]
        assert [session["name"] for session in hub["sessions"]] == [QUICKSTART.name], json.dumps(hub)
        pids = [process.pid for process in leftovers.processes(runtime)]
        notebook.close()
        server.stop()
    assert leftovers.wait_until_gone(pids) == []
    assert leftovers.files(runtime) == []


def plain_environ(python: Path, home: Path) -> dict[str, str]:
    """As in a shell that has activated the environment of `python`, and no other."""
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
    environ = {name: value for name, value in os.environ.items() if name not in left_out}
    return environ | {"HOME": str(home), "PATH": f"{python.parent}{os.pathsep}{os.defpath}"}
