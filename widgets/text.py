"""Rows as text, for papermill, nbconvert, terminals and the eye of nbval.

Owns layout in monospace. Never escapes or colours. Read next: `html.py`.
"""

from collections.abc import Sequence

from .viewmodel import ACTOR_HEADS, HOST_HEADS, ActorRow, JobRow, MeshRows, ProgressRow, SessionRow, WorkerRow

_WIDEST = 60


def duration(seconds: float) -> str:
    """
    >>> duration(4.25), duration(75), duration(7300)
    ('4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds != int(seconds) else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def progress(row: ProgressRow) -> str:
    """`cell [5] map f: 40/100, 2 failed, 12/s, ~5 s left`"""
    if row.finished and row.ending not in ("done", "cancelled"):  # cut short, or left before its end
        done = f"{row.done}/{row.total}" if row.total is not None else f"{row.done}"
        failed = f", {row.failed} failed" if row.failed else ""
        after = duration(round(row.seconds))
        return f"{row.where}{row.title}: {row.ending} after {after} ({done} done{failed})"
    parts = [f"{row.done}/{row.total}" if row.total is not None else f"{row.done}"]
    if row.failed:
        parts.append(f"{row.failed} failed")
    if row.finished:
        parts.append(f"{row.ending} in {duration(row.seconds)}")
    else:
        if row.rate:
            parts.append(f"{row.rate:g}/s")
        if row.left is not None and row.total is not None:
            parts.append(f"~{duration(row.left)} left")
        elif not row.rate:
            parts.append(f"{duration(row.seconds)} so far")
        if row.inside:
            parts[-1] += f" · {row.inside}"
    return f"{row.where}{row.title}: {', '.join(parts)}"


def inside(done: float, total: float | None, label: str) -> str:
    """How far one item is, by its own word.

    >>> inside(2, 5, "epoch"), inside(7, None, "rows"), inside(1, 4, "")
    ('40% epoch', '7 rows', '25%')
    """
    share = f"{done / total:.0%}" if total else f"{done:g}"
    return f"{share} {label}" if label else share


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as what is in them; no trailing spaces."""
    cells = [[_clip(str(value)) for value in row] for row in [heads, *rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(heads))]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def workers(rows: Sequence[WorkerRow]) -> str:
    if not rows:
        return "No mesh workers; %mesh start or the first %%distributed cell starts them."
    return table(
        ("worker", "pid", "state", "gpus", "names"),
        [(row.number, row.pid, row.state, row.gpus or "-", row.names or "-") for row in rows],
    )


def jobs(rows: Sequence[JobRow]) -> str:
    if not rows:
        return "No jobs."
    return table(
        ("job", "kind", "title", "items", "state", "started", "cell"),
        [(r.number, r.kind, r.title, r.progress, r.state, r.started, r.cell or "-") for r in rows],
    )


def actors(rows: Sequence[ActorRow]) -> str:
    return table(ACTOR_HEADS, [row.cells() for row in rows])


def sessions(rows: Sequence[SessionRow]) -> str:
    return "\n".join(
        f"{row.name}: {row.state}, {row.slots:g} slots in use, {row.mesh} mesh and {row.tasks} task workers, "
        f"{row.jobs} jobs running" + (f", {row.actors} actor{'s' * (row.actors != 1)}" if row.actors else "")
        for row in rows
    )


def hosts(rows: MeshRows) -> str:
    shown = table(HOST_HEADS, [row.cells() for row in rows.hosts])
    return f"{shown}\n{rows.more_hosts}" if rows.more_hosts else shown


def mesh(rows: MeshRows) -> str:
    parts = [rows.head, *([hosts(rows)] if rows.hosts else []), workers(rows.workers)]
    if rows.actors:
        parts.append(actors(rows.actors))
    if rows.jobs:
        parts.append(jobs(rows.jobs))
    if rows.others:
        parts.append("Other sessions:\n" + sessions(rows.others))
    return "\n\n".join(parts)


def _clip(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"
