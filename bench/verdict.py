"""The table at the end: ours, what is asked of it, the peers beside it, and whether it holds.

Owns that table. Never measures. Read next: `cases.py`.
"""

from collections.abc import Iterable

from .cases import POOL, Bound, Case
from .harness import Table

Row = tuple[Case, Table]


def lines(rows: Iterable[Row]) -> list[str]:
    """As Markdown, so that it can be pasted where it is needed."""
    found = [
        "| case | ours | must | goal | peers, x ours | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for case, table in rows:
        own = table.median()
        if own is None:
            continue
        peers = ", ".join(
            f"{'PPE' if name == POOL else name} {table.ratio(name):.2f}"
            for name in table.figures
            if table.ratio(name) is not None
        )
        must, goal = (_text(bounds, case.unit) for bounds in (case.must, case.goal))
        found.append(
            f"| {case.title} | {own:.4g} {case.unit} | {must} | {goal} | {peers} | {verdict(case, table)} |"
        )
    return found


def verdict(case: Case, table: Table) -> str:
    """ "goal", "must" or "MISSED"; "" where nothing is asked, and a word where a peer was not measured."""
    if not case.must:
        return ""
    held = [bound.holds(table) for bound in case.must]
    if False in held:
        return "MISSED"
    if None in held:
        return "(peers missing)"
    return "goal" if all(bound.holds(table) for bound in case.goal) else "must"


def _text(bounds: tuple[Bound, ...], unit: str) -> str:
    return ", ".join(bound.text(unit) for bound in bounds)
