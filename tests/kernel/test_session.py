"""Attaching, launching, jobs and their claims, in a real kernel."""

from .conftest import Kernel

LOAD = "import cellmesh as cm"


def test_the_first_use_attaches(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.ok("cm.submit(lambda x: x + 1, 41).result()").result == "42"


def test_jobs_are_listed_with_the_cell_that_launched_them(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("def double(x): return 2 * x\nr = cm.map(double, range(3)).result()")
    shown = kernel.ok("cm.jobs()").result
    assert shown.split("\n")[0].split() == ["job", "kind", "title", "items", "state", "started", "cell"]
    row = shown.split("\n")[1].split()
    assert row[:6] == ["1", "map", "map", "double", "3/3", "finished"]
    assert row[-1] == "[2]"


def test_what_was_taken_is_claimed_and_what_was_not_is_kept(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    kernel.ok("kept = cm.map(abs, [1, 2]); kept.wait(); taken = cm.map(abs, [3]).result()")
    code = "from cellmesh.kernel import attaching; [len(attaching.current().jobs)]"
    assert kernel.ok(code).result == "[1]"
    kernel.ok("del kept")
    assert kernel.ok(code).result == "[0]"


def test_a_forked_child_does_not_use_the_session(kernel: Kernel) -> None:
    kernel.ok(LOAD + "\ncm.submit(abs, -1).result()")
    code = """
import os
from cellmesh.kernel import attaching
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    try:
        attaching.attached().check()
    except Exception as error:
        os.write(write, str(error).encode())
    os._exit(0)
os.waitpid(pid, 0)
print(os.read(read, 1000).decode())
"""
    assert "forked" in kernel.ok(code).stdout


def test_an_engine_that_does_not_exist_is_one_clear_line(kernel: Kernel) -> None:
    kernel.ok(LOAD)
    assert kernel.run("cm.connect('moon')").error == (
        'EngineError: There is no engine "moon"; use "embedded" (this machine), "inline" '
        '(this process) or "dask".'
    )
    assert "to what?" in kernel.run("cm.connect('dask')").error
    assert "no option 'insecur'" in kernel.run("cm.connect('dask', 'tls://host:1', insecur=True)").error
    assert "takes no address" in kernel.run("cm.connect('inline', 'tls://host:1')").error
