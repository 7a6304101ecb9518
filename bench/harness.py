"""Paired, interleaved measuring: every round asks every contender once, in turn.

Owns rounds, medians, intervals and ratios. Never knows what is measured. A ratio is formed round by round,
so that a machine whose speed drifts shifts both sides. Read next: `__main__.py`.
"""

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


class Driver:
    """A contender's process; the name is for people."""

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.driver", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._read()
        self.version = "" if line is None else line["version"]
        self.alive = line is not None

    def measure(self, case: str, count: int) -> float | None:
        """Its figure, or None if it cannot do the case (or died of it)."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"case": case, "count": count}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = self._read()
        if answer is None or "error" in answer:
            why = answer["error"] if answer else "its process ended"
            print(f"  {self.name} failed at {case}: {why}", flush=True)
            return None
        return answer["figure"]

    def close(self) -> None:
        """End the contender."""
        ended(self._process)

    def _read(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


@dataclass
class Table:
    """Figures of one case: contender -> one per round."""

    case: str
    unit: str
    scale: float
    rounds: dict[str, list[float | None]] = field(default_factory=dict)

    def add(self, contender: str, value: float | None) -> None:
        """Note one round's figure; None keeps its place, as rounds are compared."""
        self.rounds.setdefault(contender, []).append(value)

    @property
    def figures(self) -> dict[str, list[float]]:
        """What was measured, by contender."""
        found = {name: [v for v in values if v is not None] for name, values in self.rounds.items()}
        return {name: values for name, values in found.items() if values}

    def ratios(self, peer: str, base: str = "cellmesh") -> list[float]:
        """The peer's figure by ours, of each round that has both."""
        pairs = zip(self.rounds.get(peer, ()), self.rounds.get(base, ()), strict=False)
        return [theirs / ours for theirs, ours in pairs if theirs is not None and ours]

    def median(self, contender: str = "cellmesh") -> float | None:
        """In the table's unit; None where it was not measured."""
        values = self.figures.get(contender)
        return statistics.median(values) * self.scale if values else None

    def ratio(self, peer: str, base: str = "cellmesh") -> float | None:
        """The peer's figure by ours, the median over rounds; None where one was not measured."""
        ratios = self.ratios(peer, base)
        return statistics.median(ratios) if ratios and peer != base else None

    def lines(self, base: str = "cellmesh") -> list[str]:
        """Rows for people: median, 90 % interval, and the ratio to our own figure of the same round."""
        rows = [f"{self.case}"]
        for name, values in self.figures.items():
            low, high = interval(values)
            row = (
                f"  {name:<28}{statistics.median(values) * self.scale:>10.1f} {self.unit:<3}"
                f" [{low * self.scale:.1f} .. {high * self.scale:.1f}]"
            )
            ratios = self.ratios(name, base)
            if name != base and ratios:
                low, high = interval(ratios)
                row += f"   {statistics.median(ratios):6.2f}x ours [{low:.2f} .. {high:.2f}]"
            rows.append(row)
        return rows


def interval(values: Sequence[float], share: float = 0.9) -> tuple[float, float]:
    """Bootstrap interval of the median."""
    if len(values) < 3:
        return min(values), max(values)
    dice = random.Random(7)
    medians = sorted(statistics.median(dice.choices(values, k=len(values))) for _ in range(1000))
    edge = int((1 - share) / 2 * 1000)
    return medians[edge], medians[-edge - 1]


def rounds(count: int, contenders: Sequence[tuple[str, Callable[[], float | None]]], table: Table) -> Table:
    """Ask everyone in turn, `count` times, changing who goes first."""
    for number in range(count):
        shift = number % len(contenders)
        for name, measure in [*contenders[shift:], *contenders[:shift]]:
            table.add(name, measure())
    return table


def cold(script: str) -> float | None:
    """Run a script in a fresh interpreter; it prints its own seconds."""
    try:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return None
    return float(done.stdout.split()[-1]) if done.returncode == 0 and done.stdout.strip() else None


def ended(process: "subprocess.Popen[str]") -> None:
    """Tell it by the end of its input, and wait; a stubborn one is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
