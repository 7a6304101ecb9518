"""`python -m cellmesh` and its doctor, as a person runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from support import leftovers

from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.wire import folders, system


def cellmesh(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cellmesh", *arguments],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def levels(text: str) -> set[str]:
    return {line.split()[0] for line in text.splitlines()} - {"->"}


def test_without_a_command_it_says_what_there_is() -> None:
    done = cellmesh()
    assert done.returncode == 0
    assert f"cellmesh {version('cellmesh')}" in done.stdout
    assert "doctor" in done.stdout
    assert "%load_ext cellmesh" in done.stdout
    assert cellmesh("--version").stdout == f"cellmesh {version('cellmesh')}\n"
    unknown = cellmesh("surgeon")
    assert unknown.returncode == 2
    assert "surgeon" in unknown.stderr


def test_on_a_sound_machine_there_is_no_problem_and_nothing_is_left(runtime: Path) -> None:
    done = cellmesh("doctor")
    assert done.returncode == 0, done.stdout
    assert levels(done.stdout) <= {"ok", "warn"}
    for word in ("Python", "pyzmq", "ipykernel", "extension", "GPU", "free of", "private", "no hub runs now"):
        assert word in done.stdout
    assert list(runtime.iterdir()) == []


def test_a_folder_that_others_can_read_is_a_problem_with_a_way_out(runtime: Path) -> None:
    (runtime / "cellmesh").mkdir()
    (runtime / "cellmesh").chmod(0o755)
    for arguments in (["doctor"], ["doctor", "--clean"]):
        done = cellmesh(*arguments)
        assert done.returncode == 1
        assert f"chmod 700 {runtime}/cellmesh" in done.stdout
        assert "Traceback" not in done.stderr
    (runtime / "cellmesh").chmod(0o700)
    assert cellmesh("doctor").returncode == 0


def test_a_file_in_the_folders_place_is_a_problem(runtime: Path) -> None:
    (runtime / "cellmesh").write_text("")
    done = cellmesh("doctor")
    assert done.returncode == 1
    assert f"{runtime}/cellmesh" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_doorbell_whose_server_has_gone_is_told(runtime: Path) -> None:
    done = cellmesh("doctor", CELLMESH_DOORBELL=str(runtime / "gone.sock"))
    assert "its Jupyter server has ended" in done.stdout


def test_the_devices_are_listed() -> None:
    shown = cellmesh("doctor", CELLMESH_LOGICAL_GPUS="2").stdout
    assert "GPU 0: logical GPU" in shown
    assert "GPU 1: logical GPU" in shown


def test_a_running_hub_is_listed_and_never_swept(runtime: Path) -> None:
    ensure_hub("clinic", owner=os.getpid())
    pids = [process.pid for process in leftovers.processes(runtime)]
    done = cellmesh("doctor", "--clean")
    assert done.returncode == 0, done.stdout
    assert "hub clinic runs" in done.stdout
    assert folders.hubs() == {"clinic": True}
    for pid in pids:
        os.kill(pid, 9)
    assert leftovers.wait_until_gone(pids) == []
    assert "hub clinic runs" not in cellmesh("doctor", "--clean").stdout
    assert leftovers.files(runtime) == []


def test_leftovers_are_shown_first_and_removed_only_when_told_to(runtime: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder, data = folders.make_hub_folders("gone")
    (folder / "hub.sock").touch()
    (data / "journal").touch()
    segment = system.shared_memory_folder() / f"{folders.segment_prefix('gone')}1"
    orphan = system.shared_memory_folder() / f"{folders.segment_prefix('long-gone')}1"
    bell = folders.doorbell_path(dead.pid)
    for path in (segment, orphan, bell):
        path.touch()
    try:
        shown = cellmesh("doctor")
        assert shown.returncode == 0, shown.stdout
        assert str(folder) in shown.stdout
        assert "doctor --clean" in shown.stdout
        assert all(path.exists() for path in (folder, data, segment, orphan, bell))
        cleaned = cellmesh("doctor", "--clean")
        for path in (folder, data, segment, orphan, bell):
            assert f"removed  {path}" in cleaned.stdout
        assert leftovers.files(runtime) == []
        assert "nothing was left over" in cellmesh("doctor", "--clean").stdout
    finally:
        segment.unlink(missing_ok=True)
        orphan.unlink(missing_ok=True)
