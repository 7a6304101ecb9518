"""Which hub and session a kernel finds, in a real kernel."""

from pathlib import Path

import pytest

from .conftest import Kernel

LOOK = """
from cellmesh.kernel import attaching
session = attaching.current()
print(session.spec.key, session.spec.name, session.spec.grace)
"""


@pytest.fixture
def engine_name() -> str:
    return "embedded"


def test_without_server_or_notebook_the_process_is_the_session(kernel: Kernel) -> None:
    key, *_, grace = kernel.ok(LOOK).stdout.split()
    assert key.startswith("process-")
    assert grace == "0.0"


def test_a_notebooks_path_is_the_session_where_the_front_end_reports_it(kernel: Kernel) -> None:
    kernel.ok("import os; os.environ['CELLMESH_GRACE'] = '1'; __vsc_ipynb_file__ = '/tmp/a.ipynb'")
    assert kernel.ok(LOOK).stdout == "notebook-/tmp/a.ipynb /tmp/a.ipynb 1.0\n"


def test_a_doorbell_that_does_not_answer_is_said_and_passed_over(kernel: Kernel, tmp_path: Path) -> None:
    kernel.ok(f"import os; os.environ['CELLMESH_DOORBELL'] = '{tmp_path}/gone'")
    shown = kernel.ok(LOOK)
    assert shown.stdout.startswith("process-")
    assert shown.stderr == (
        "cellmesh: the Jupyter server's cellmesh did not answer (No such file or directory); "
        "using your own hub.\n"
    )


def test_a_second_kernel_of_the_same_notebook_works_alone(kernel: Kernel) -> None:
    kernel.ok("import os; os.environ['CELLMESH_GRACE'] = '1'; __vsc_ipynb_file__ = '/tmp/b.ipynb'")
    kernel.ok(LOOK)
    code = (
        "import subprocess, sys\n"
        "program = 'from cellmesh.kernel import attaching, identity\\n'\\\n"
        '  \'identity.own_session = lambda: ("notebook-/tmp/b.ipynb", "/tmp/b.ipynb", 1.0)\\n\'\\\n'
        "  'session = attaching.connect(\"embedded\"); print(session.spec.key)'\n"
        "print(subprocess.run([sys.executable, '-c', program], capture_output=True, text=True))"
    )
    shown = kernel.ok(code).stdout
    assert "stdout='process-" in shown
    assert "another running kernel already holds the session of /tmp/b.ipynb" in shown


def test_an_unusable_runtime_folder_is_one_clear_line(runtime: Path, kernel: Kernel) -> None:
    (runtime / "cellmesh").mkdir(mode=0o755)
    (runtime / "cellmesh").chmod(0o755)
    assert kernel.run(LOOK).error.startswith("EngineError: cellmesh will not use")
