"""Stop at any instant of `cm.submit`, in a process of its own; and a script that ends while calls wait."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("interrupted.py")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = dict(os.environ, CELLMESH_CPUS="2")
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=True, timeout=120)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_call_is_in_the_job_wholly_or_not_at_all(runtime: Path, tmp_path: Path, seed: int) -> None:
    found = run(str(SCRIPT), str(seed), str(tmp_path / "ran"))
    assert found.stdout == ("hit=True wrong=0 twice=0 missing=0 nameless=False uneven=[] usable=True\n"), (
        found.stderr
    )


def test_a_script_ends_though_calls_wait(runtime: Path) -> None:
    code = (
        "import time\nimport cellmesh as cm\n"
        "slow = [cm.submit(time.sleep, 60) for _ in range(500)]\n"
        "after = [cm.submit(str, [one]) for one in slow]\n"
    )
    found = run("-c", code)
    assert (found.stdout, found.stderr) == (
        "",
        "cellmesh: 1 job was still running and was cancelled as the script ended\n",
    )
