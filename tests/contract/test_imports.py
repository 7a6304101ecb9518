"""What `import cellmesh` loads, and the names that it gives."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

# Top-level packages, besides the standard library's, that `import cellmesh` may load. A notebook's first
# cell pays for each; and torch or dask must never come in unless the user asked.
ALLOWED = {"cellmesh"}

LIST_MODULES = """
import sys
before = set(sys.modules)
import cellmesh
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names)))
"""


def in_a_fresh_python(code: str) -> str:
    # -P and -I would hide an editable install's finder hooks from nothing: only the folder is left out.
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_cellmesh_stays_light() -> None:
    loaded = set(in_a_fresh_python(LIST_MODULES).split())
    # Site hooks of editable installs and of pytest's plugins are not ours.
    ours = {name for name in loaded if not name.startswith("__editable__")}
    assert ours <= ALLOWED


def test_a_script_pays_for_no_notebook_and_no_event_loop() -> None:
    code = "import sys, cellmesh as cm; cm.submit, cm.map; print(*sys.modules)"
    loaded = set(in_a_fresh_python(code).split())
    assert not loaded & {"IPython", "asyncio", "psutil", "traitlets", "numpy"}


def test_the_front_door_has_these_names_and_no_others() -> None:
    import cellmesh

    assert cellmesh.__all__ == [
        "ActorDied",
        "Executor",
        "Future",
        "Results",
        "WorkerLost",
        "__version__",
        "actor",
        "actors",
        "as_completed",
        "attach",
        "batch",
        "cancel",
        "connect",
        "dask_get",
        "get_actor",
        "jobs",
        "load_ipython_extension",
        "map",
        "method",
        "put",
        "start",
        "stop",
        "submit",
        "task",
        "track",
        "wait",
    ]
    missing = [name for name in cellmesh.__all__ if not hasattr(cellmesh, name)]
    assert missing == []


def test_the_version_is_the_packages() -> None:
    import cellmesh

    assert cellmesh.__version__ == version("cellmesh")
