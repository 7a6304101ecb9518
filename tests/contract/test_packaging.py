"""What is on disk is what is listed is what is in the wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("cellmesh", "jupyter_ext", "kernel", "widgets", "scheduler")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def files_on_disk() -> Iterator[tuple[str, Path]]:
    """Every file of the rooms under the name that it has in the wheel."""
    for room in ROOMS:
        package = "cellmesh" if room == "cellmesh" else f"cellmesh/{room}"
        for path in (ROOT / room).rglob("*"):
            inside = path.relative_to(ROOT / room)
            if room == "cellmesh" and inside.parts[0] in ROOMS:
                continue  # the links for tools
            if path.is_file() and path.suffix != ".pyc":
                yield f"{package}/{inside.as_posix()}", path


def test_every_package_on_disk_is_listed() -> None:
    found = {
        str(Path(name).parent).replace("/", ".") for name, path in files_on_disk() if path.suffix == ".py"
    }
    assert found == set(SETUPTOOLS["packages"])


def test_the_links_for_tools_are_there() -> None:
    assert {link.name: link.readlink() for link in (ROOT / "cellmesh").iterdir() if link.is_symlink()} == {
        room: Path("..") / room for room in ROOMS if room != "cellmesh"
    }


@pytest.mark.parametrize("room", ROOMS)
def test_files_stay_small_enough_to_read(room: str) -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for _, path in files_on_disk()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] == room
    }
    assert {str(path): length for path, length in lengths.items() if length > 320} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_files_say_what_they_are(room: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for _, path in files_on_disk()
        if path.suffix == ".py"
        and path.relative_to(ROOT).parts[0] == room
        and not path.read_text().startswith(('"""', "#!/"))
    ]
    assert silent == []


def test_the_minimum_lane_pins_exactly_the_declared_bounds() -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "minimum.py", "--check"], check=True)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves folders in the tree it builds from."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        source, target = ROOT / name, copy / name
        if not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            target.write_bytes(source.read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", folder, copy], check=True)
    (built,) = folder.glob("cellmesh-*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_every_file_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    # The setting lies in the environment's etc/, not in the package.
    data = f"cellmesh-{PROJECT['project']['version']}.data/data"
    setting = f"{data}/etc/jupyter/jupyter_server_config.d/cellmesh.json"
    expected = {name for name, _ in files_on_disk() if "/config/" not in name} | {setting}
    assert names == expected
