"""Rows as HTML that any front end shows: no scripts, no style sheets, everything escaped.

Owns markup. Never decides what is shown. Read next: `views.py`.
"""

from collections.abc import Sequence
from html import escape

from . import text
from .viewmodel import ACTOR_HEADS, HOST_HEADS, ActorRow, JobRow, MeshRows, ProgressRow, WorkerRow

_SMALL = "font-size:90%;opacity:.85;"


def progress(row: ProgressRow) -> str:
    line = escape(text.progress(row))
    if row.finished:
        return f'<div style="{_SMALL}">{line}</div>'
    bar = ""
    if row.total:
        bar = f'<progress value="{row.done:d}" max="{row.total:d}" style="width:16em"></progress> '
    return f'<div style="{_SMALL}">{bar}{line}</div>'


def results(line: str, done: int, total: int | None) -> str:
    """Results of a map that may still be on their way: their text, and a bar while some are missing."""
    bar = ""
    if total and done < total:
        bar = f'<progress value="{done:d}" max="{total:d}" style="width:16em"></progress> '
    return f"<div>{bar}<code>{escape(line)}</code></div>"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def line(tag: str, values: Sequence[object]) -> str:
        cells = "".join(f'<{tag} style="text-align:left">{escape(str(value))}</{tag}>' for value in values)
        return f"<tr>{cells}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', heads)}</thead><tbody>{body}</tbody></table>"


def workers(rows: Sequence[WorkerRow]) -> str:
    if not rows:
        return f"<p>{escape(text.workers(rows))}</p>"
    return table(
        ("worker", "pid", "state", "gpus", "names"),
        [(row.number, row.pid, row.state, row.gpus or "-", row.names or "-") for row in rows],
    )


def jobs(rows: Sequence[JobRow]) -> str:
    if not rows:
        return f"<p>{escape(text.jobs(rows))}</p>"
    return table(
        ("job", "kind", "title", "items", "state", "started", "cell"),
        [(r.number, r.kind, r.title, r.progress, r.state, r.started, r.cell or "-") for r in rows],
    )


def actors(rows: Sequence[ActorRow]) -> str:
    return table(ACTOR_HEADS, [row.cells() for row in rows])


def mesh(rows: MeshRows) -> str:
    parts = [f"<p><b>{escape(rows.head)}</b></p>"]
    if rows.hosts:
        parts.append(table(HOST_HEADS, [row.cells() for row in rows.hosts]))
        parts.append(f'<p style="{_SMALL}">{rows.more_hosts}</p>' if rows.more_hosts else "")
    parts.append(workers(rows.workers))
    if rows.actors:
        parts.append(actors(rows.actors))
    if rows.jobs:
        parts.append(jobs(rows.jobs))
    if rows.others:
        lines = escape(text.sessions(rows.others)).replace("\n", "<br>")
        parts.append(f'<p style="{_SMALL}">Other sessions:<br>{lines}</p>')
    return f"<div>{''.join(parts)}</div>"
