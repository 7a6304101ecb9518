"""With `replay=True` every call counts once, whoever dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter as Tally, deque
from pathlib import Path
from threading import Timer

from crash.killing import Mesh, kill, until

import cellmesh as cm

INCREMENTS = 10_000
UNDER_WAY = 100
"""So many calls of each caller at any moment, so that whoever dies does so in the midst of them."""
LONGEST_LIFE = 400
"""A process of the actor is killed after at most so many answers to the first caller, and at least one: a
call over which two processes die in a row is left out (`../worker/test_host_troubles.py`)."""

_SECOND = f"""
import sys
import cellmesh as cm
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from collections import deque
from pathlib import Path

cm.connect(EmbeddedEngine(Path(sys.argv[1])))
counter = cm.get_actor("counter")
under_way = deque()
while True:  # until it is killed
    print("asks", flush=True)
    under_way.append(counter.add("second"))
    if len(under_way) == {UNDER_WAY}:
        print(*under_way.popleft().result(), flush=True)
"""


class Counter:
    """What is counted twice, or not at all, shows."""

    def __init__(self) -> None:
        self.total = 0
        self.each = {"first": 0, "second": 0}

    def add(self, who: str) -> tuple[int, int, int]:
        """Its how-manieth this is, how many there are in all, and the process that counts."""
        self.total += 1
        self.each[who] += 1
        return self.each[who], self.total, os.getpid()

    def state(self) -> tuple[int, dict[str, int]]:
        return self.total, self.each


def test_ten_thousand_increments_count_once_while_the_actor_and_a_caller_are_killed(
    mesh: Mesh, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    counter = cm.actor(replay=True, restarts=1000, detached=True, name="counter")(Counter).start()
    told = tmp_path / "told"
    first: list[tuple[int, int]] = []
    under_way: deque[cm.Future[tuple[int, int, int]]] = deque()
    left: dict[int, int] = {}  # answers of each process until it is killed
    killers: list[Timer] = []
    wanted = INCREMENTS
    with told.open("w") as output:
        other = subprocess.Popen([sys.executable, "-c", _SECOND, str(mesh.folder)], stdout=output)
        try:
            until(lambda: answers(told), "the second caller's first answer")
            while len(first) < wanted:
                while len(under_way) < min(UNDER_WAY, wanted - len(first)):
                    under_way.append(counter.add("first"))
                own, total, pid = under_way.popleft().result(timeout=60)
                first.append((own, total))
                left[pid] = left.get(pid, chance.randint(1, LONGEST_LIFE)) - 1
                if left[pid] == 0:
                    killers.append(Timer(chance.random() * 0.005, kill, (pid,)))
                    killers[-1].start()  # while we go on calling
                halfway = wanted == INCREMENTS and len(first) % 50 == 0
                if halfway and len(first) + len(answers(told)) >= INCREMENTS / 2:
                    other.kill()
                    assert other.wait() == -signal.SIGKILL
                    wanted -= len(answers(told))
        finally:
            other.kill()
            other.wait()
    for killer in killers:
        killer.join()
    second = answers(told)
    unanswered = told.read_text().count("asks\n") - len(second)
    total, each = counter.state().result(timeout=60)
    counter.stop()
    says = f"seed {seed}, {len(left)} processes"
    assert len(left) > INCREMENTS / 2 / (LONGEST_LIFE + 5 * UNDER_WAY), says
    assert len(first) + len(second) == INCREMENTS, says
    assert second, says
    assert unanswered, says
    # Each answer came once, in the order of the calls, and none is missing between two.
    assert [own for own, _ in first] == list(range(1, len(first) + 1)), says
    assert [own for own, _ in second] == list(range(1, len(second) + 1)), says
    # Each increment was one: the first's are as many as it asked for, and of the second's only those are not
    # known that it had sent, or was about to, as it died.
    assert each["first"] == len(first), says
    assert 0 <= each["second"] - len(second) <= unanswered, says
    assert total == sum(each.values()), says
    totals = Tally(total for _, total in [*first, *second])
    assert set(totals.values()) == {1}, says
    assert set(totals) <= set(range(1, total + 1)), says


def answers(told: Path) -> list[tuple[int, int]]:
    """What the second caller was answered; it may be writing a line just now."""
    lines = told.read_text().split("\n")[:-1]
    rows = [line.split() for line in lines if line != "asks"]
    return [(int(own), int(total)) for own, total, _ in rows]
