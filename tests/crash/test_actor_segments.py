"""What calls pass through shared memory is nobody's once either side of the call is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from crash.killing import Mesh, kill, until
from worker.hosting import Line

import cellmesh as cm
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire import folders, system

_CALLER = """
import sys
import numpy as np
import cellmesh as cm
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from pathlib import Path

cm.connect(EmbeddedEngine(Path(sys.argv[1])))
keeper = cm.get_actor("keeper")
busy = keeper.sleep(60)
futures = [keeper.size(np.ones(1 << 20)) for _ in range(4)]
keeper.size(1)
print("sent", flush=True)
busy.result()
"""


class Keeper:
    """Makes and takes what is large."""

    def size(self, x: Any) -> int:
        return int(np.size(x))

    def large(self) -> Any:
        return np.ones(1 << 20)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def held(mesh: Mesh) -> list[str]:
    """Segments that somebody may need."""
    prefix = folders.segment_prefix(mesh.folder.name)
    names = [path.name for path in system.shared_memory_folder().glob(f"{prefix}*")]
    return [name for name in names if not segments.has_mark(name, segments.FREE)]


def test_results_that_nobody_took_go_with_the_actors_process(mesh: Mesh) -> None:
    keeper = cm.actor(restarts=1, name="keeper")(Keeper).start()
    assert keeper.size(1).result() == 1
    before = held(mesh)
    (info,) = mesh.session().engine.actors.all()
    line = Line(info.address, "rude")  # it never says that it took what it got
    answers = [line.answer(line.call("large")) for _ in range(3)]
    assert len(held(mesh)) == len(before) + len(answers)
    kill(info.pid)
    until(lambda: held(mesh) == before, "the dead process's segments are gone")
    assert keeper.size(1).result() == 1
    keeper.stop()


def test_arguments_that_were_not_taken_go_with_their_caller(mesh: Mesh, tmp_path: Path) -> None:
    keeper = cm.actor(detached=True, name="keeper")(Keeper).start()
    assert keeper.size(1).result() == 1
    before = held(mesh)
    told = tmp_path / "told"
    with told.open("w") as output:
        caller = subprocess.Popen([sys.executable, "-c", _CALLER, str(mesh.folder)], stdout=output)
        try:
            until(lambda: told.stat().st_size, "the caller has sent")
            assert len(held(mesh)) > len(before)
        finally:
            caller.kill()
            caller.wait()
    until(lambda: held(mesh) == before, "the dead caller's segments are gone")
    keeper.stop()
