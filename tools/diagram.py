"""Draw the core's transition tables: `python tools/diagram.py` writes docs/scheduler-states.md.

Owns the drawing, so that it cannot drift from the code: `--check` exits 1 when the file is stale.
Never edited by hand, the file. Read next: `scheduler/core/tables.py`.
"""

import sys
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cellmesh.scheduler.core.tables import (  # noqa: E402
    ACTOR_TRANSITIONS,
    TASK_TRANSITIONS,
    TERMINAL,
    WORKER_TRANSITIONS,
    ActorState,
    TaskState,
    WorkerState,
)

TARGET = ROOT / "docs" / "scheduler-states.md"


def diagram(
    states: type[StrEnum], table: frozenset[tuple[StrEnum, StrEnum]], ends: frozenset[StrEnum]
) -> list[str]:
    """A mermaid state diagram, in the order in which the states are declared."""
    order = {state: place for place, state in enumerate(states)}
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(states))}"]
    for start, finish in sorted(table, key=lambda pair: (order[pair[0]], order[pair[1]])):
        lines.append(f"    {start} --> {finish}")
    lines += [f"    {state} --> [*]" for state in states if state in ends]
    return [*lines, "```", ""]


def render() -> str:
    """The whole file."""
    return "\n".join(
        [
            "# States of tasks, workers and actors",
            "",
            "Drawn by `tools/diagram.py` from the tables in `scheduler/core/tables.py`; do not edit.",
            "",
            "## Tasks",
            "",
            *diagram(TaskState, frozenset(TASK_TRANSITIONS), frozenset(TERMINAL)),
            "## Workers",
            "",
            "A worker is forgotten when its exit has been seen, which is the end of `ending`.",
            "",
            *diagram(WorkerState, frozenset(WORKER_TRANSITIONS), frozenset({WorkerState.ENDING})),
            "## Actors",
            "",
            "Each time that it starts it has another process; it is forgotten when it has ended.",
            "",
            *diagram(ActorState, frozenset(ACTOR_TRANSITIONS), frozenset({ActorState.ENDED})),
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the file, or compare it."""
    text = render()
    if "--check" in arguments:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{TARGET.relative_to(ROOT)} is stale: run python tools/diagram.py\n")
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
