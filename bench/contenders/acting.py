"""The actor that every contender hosts, and what cellmesh does with one that no peer is asked for.

Owns the class and these measurements. Read next: `mesh.py`, `../cases.py`.
"""

import importlib.util
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import cellmesh as cm

from .base import MIB, Contender, megabyte

CALLERS = 64
CALLS = 20  # of each
WIDTH = 768
STATE = 100_000_000


class Model:
    """What every contender makes an actor of."""

    def noop(self) -> None:
        """A call."""

    def same(self, value: Any) -> Any:
        """A value both ways."""
        return value

    def count(self, items: int) -> Iterator[int]:
        """A stream."""
        for item in range(items):  # noqa: UP028 - Ray's generators have no `yield from`
            yield item


class Heavy:
    """An actor with a state of 100 MB."""

    def __init__(self) -> None:
        import numpy

        self.weights = numpy.ones(STATE // 8)

    def look(self) -> tuple[int, float]:
        """Who this is, and the state."""
        return os.getpid(), float(self.weights[-1])


class Network:
    """A torch MLP, the one of a small transformer's layer, asked for single rows.

    Its weights (19 MB) are more than a core's own cache holds, as those of most networks: a single row costs
    reading all of them, and 64 cost it once. One that fits would gain little by any way of gathering.
    """

    def __init__(self) -> None:
        import torch

        torch.manual_seed(0)
        layers = [torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.ReLU(), torch.nn.Linear(4 * WIDTH, WIDTH)]
        self.layers = torch.nn.Sequential(*layers).eval()

    def one(self, row: Any) -> float:
        """A row through the network."""
        import torch

        with torch.inference_mode():
            return float(self.layers(row[None])[0, 0])

    @cm.batch(max_size=64, max_wait_ms=5)
    def gathered(self, row: list[Any]) -> list[float]:
        """Rows that were asked for at the same time, together."""
        import torch

        with torch.inference_mode():
            answers: list[float] = self.layers(torch.stack(row))[:, 0].tolist()
        return answers


class Asked(Contender):
    """Mixed in where a method's call answers with a Future."""

    model: Any

    def actor_call(self, count: int) -> None:
        """One after another."""
        for _ in range(count):
            self.model.noop().result()

    def actor_many(self, count: int) -> None:
        """All at once."""
        for future in [self.model.noop() for _ in range(count)]:
            future.result()

    def actor_array(self, count: int) -> None:
        """An array both ways."""
        for _ in range(count):
            assert self.model.same(megabyte()).result().nbytes == MIB


class Acting(Asked):
    """Mixed into our own contender."""

    def actor_start(self, _: int) -> float:
        """From `start` to the first answer, with no process waiting for it."""
        start = time.perf_counter()
        model = cm.actor(Model).start()
        model.noop().result()
        seconds = time.perf_counter() - start
        model.stop()
        return seconds

    def actor_back(self, _: int) -> float:
        """From kill -9 to the first answer that the restored state gives."""
        heavy = cm.actor(restarts=1)(Heavy).start()
        pid, _ = heavy.look().result()
        heavy.checkpoint().result()
        start = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while True:
            try:
                now, weight = heavy.look().result()
            except cm.ActorDied:
                continue  # the call had begun when it died
            if now != pid:
                break
        seconds = time.perf_counter() - start
        assert weight == 1.0
        heavy.stop()
        return seconds

    def actor_batch(self, _: int) -> float:
        """How many times faster 64 callers are answered when their calls are gathered."""
        import torch

        row = torch.ones(WIDTH)
        network = cm.actor(Network).start()
        alone = statistics.median(_asked(network.one, row) for _ in range(3))
        together = statistics.median(_asked(network.gathered, row) for _ in range(3))
        network.stop()
        return alone / together

    def can(self, case: str) -> bool:
        """Torch may be missing."""
        return super().can(case) and (case != "actor_batch" or importlib.util.find_spec("torch") is not None)


def _asked(method: Callable[[Any], Any], row: Any) -> float:
    def caller() -> None:
        for _ in range(CALLS):
            method(row).result()

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start
