"""What workers print and display, on every engine."""

from __future__ import annotations

import json

import pytest
from conformance.recording import Desk

pytestmark = pytest.mark.promise("output")


def test_output_comes_in_order_and_labelled(desk: Desk) -> None:
    desk.mesh(2)
    job = desk.cell("import sys\nfor i in range(3):\n    print(i)\nprint('e', file=sys.stderr)", worker=1)
    outputs = desk.told.outputs(job)
    assert [(o.kind, o.worker) for o in outputs[-1:]] == [("stderr", 1)]
    assert desk.told.text(job) == "0\n1\n2\n"
    assert desk.told.text(job, "stderr") == "e\n"
    kinds = [call[0] for call in desk.told.calls if call[0] in ("output", "settled")]
    assert kinds[-1] == "settled"


def test_a_result_is_a_mime_bundle(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("'text'")
    (output,) = desk.told.outputs(job)
    assert isinstance(output.data, bytes)
    assert json.loads(output.data)["data"] == {"text/plain": "'text'"}


def test_a_flood_is_shown_in_part_and_counted_honestly(desk: Desk) -> None:
    desk.mesh(1)
    job = desk.cell("for i in range(100_000): print(i)")
    shown = desk.told.text(job).splitlines()
    notes = [o.text for o in desk.told.outputs(job) if o.kind == "note"]
    hidden = sum(int(note.split()[1].replace(",", "")) for note in notes)
    assert hidden + len(shown) == 100_000
    assert shown[:200] == [str(i) for i in range(200)]
    assert shown[-1] == "99999"
    assert len(shown) < 2100


@pytest.mark.promise("logs")
def test_everything_printed_is_in_the_log(desk: Desk) -> None:
    from cellmesh.scheduler.objects.logbook import read_logs

    desk.mesh(1)
    job = desk.cell("for i in range(5000): print(i)")
    text = "".join(record.text for record in read_logs(desk.engine.logs(), worker=0, job=job))
    assert text == "".join(f"{i}\n" for i in range(5000))
