"""A script on which Stop is pressed at random instants of what it submits; `test_interrupted.py` runs it.

Owns what it counts, and prints it as one line.
"""

import itertools
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cellmesh as cm
from cellmesh.kernel import attaching
from cellmesh.kernel.submitting import submissions_of

ROUNDS = 400
LATEST = 0.002
"""Seconds until Stop in each round: by then some calls have gone, and some wait."""
DROPPED = 0.05
"""After so many it has hit where Python drops an interrupt: in a finalizer, say."""


def ran(place: int, path: str, *_: Any) -> int:
    """A call that leaves a trace of itself."""
    with open(path, "ab", 0) as file:
        file.write(b"%d\n" % place)
    return place


def press(known: dict[int, Any], places: Iterator[int], path: str, chance: random.Random) -> None:
    """Submit until Stop; `known` has the Futures that came back."""

    def fresh(place: int, path: str) -> int:  # another function in each round
        return ran(place, path)

    end = time.monotonic() + DROPPED
    while time.monotonic() < end:
        place = next(places)
        match chance.randrange(4):
            case 0 | 1:
                known[place] = cm.submit(ran, place, path)
            case 2:
                known[place] = cm.submit(fresh, place, path)
            case _:
                known[place] = cm.submit(ran, place, path, [chance.choice([*known.values()])])


def main(seed: int, path: str) -> None:
    """Many rounds, then the count."""
    chance = random.Random(seed)
    known: dict[int, Any] = {-1: cm.submit(ran, -1, path)}
    known[-1].result()
    session = attaching.current()
    hits, places = 0, itertools.count()
    for round in range(ROUNDS):
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0, LATEST))
            press(known, places, path, chance)
        except KeyboardInterrupt:
            hits += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        if round % 20 == 0:
            submissions_of(session).seal()  # as the end of a cell does
    submissions_of(session).seal()
    wrong = sum(future.result(60) != place for place, future in known.items())
    jobs = [*session.history, *session.jobs.values()]
    for job in jobs:
        job.wait(60)
    lines = [int(line) for line in Path(path).read_bytes().split()]
    uneven = [job.summary() for job in jobs if job.done != job.items]
    usable = cm.submit(pow, 2, 10).result(60) == 1024 and cm.map(abs, [-1]).result(60) == [1]
    print(
        f"hit={hits > ROUNDS / 2} wrong={wrong} twice={len(lines) - len(set(lines))} "
        f"missing={len(known.keys() - set(lines))} nameless={len(set(lines) - known.keys()) > hits} "
        f"{uneven=} {usable=}"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    main(int(sys.argv[1]), sys.argv[2])
