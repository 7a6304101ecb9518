"""With `replay=True` every call counts once, whoever dies."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from crash.killing import Mesh, kill, until

import cellmesh as cm

INCREMENTS = 5_000
BURST = 100

_SECOND = """
import sys
import cellmesh as cm
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from pathlib import Path

cm.connect(EmbeddedEngine(Path(sys.argv[1])))
counter = cm.get_actor("counter")
for _ in range({bursts}):
    for future in [counter.add() for _ in range({burst})]:
        print(future.result(), flush=True)
"""


class Counter:
    """What is counted twice, or not at all, shows."""

    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n

    def value(self) -> int:
        return self.n


def test_ten_thousand_increments_count_once_while_the_actor_and_a_caller_are_killed(
    mesh: Mesh, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    counter = cm.actor(replay=True, restarts=1000, detached=True, name="counter")(Counter).start()
    told = tmp_path / "told"
    script = _SECOND.format(bursts=INCREMENTS // BURST, burst=BURST)
    with told.open("w") as output:
        second = subprocess.Popen([sys.executable, "-c", script, str(mesh.folder)], stdout=output)
        try:
            until(lambda: told.stat().st_size, "the second caller's first answer")
            values: list[int] = []
            deaths = 0
            for burst in range(INCREMENTS // BURST):
                futures = [counter.add() for _ in range(BURST)]
                if burst % 5 == 2:
                    time.sleep(chance.random() * 0.02)
                    (info,) = mesh.session().engine.actors.all()
                    if info.pid:
                        kill(info.pid)
                        deaths += 1
                if burst == INCREMENTS // BURST // 2:
                    second.kill()
                values += [future.result(timeout=60) for future in futures]
        finally:
            second.kill()
            second.wait()
    others = [int(line) for line in told.read_text().split("\n")[:-1]]
    total = counter.value().result(timeout=60)
    counter.stop()
    says = f"seed {seed}, {deaths} deaths"
    assert deaths > 3, says
    assert values == sorted(set(values)), says
    assert others == sorted(set(others)), says
    assert not set(values) & set(others), says
    assert len(values) == INCREMENTS, says
    # What the second one has sent before it died counts, whether it has seen the answer or not.
    assert INCREMENTS + len(others) <= total <= INCREMENTS + len(others) + BURST, says
