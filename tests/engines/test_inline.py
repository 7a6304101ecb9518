"""What the inline engine keeps, however long it works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance.recording import Desk, interpreter
from hub.acting import Broken, Counter, ask, start

from cellmesh.scheduler.engines.contract import JobSpec
from cellmesh.scheduler.engines.inline import InlineEngine
from cellmesh.scheduler.engines.inline_lives import REMEMBERED
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.tail import OUTPUT_KEPT
from cellmesh.scheduler.wire.messages import TaskWire


@pytest.fixture
def desk() -> Iterator[Desk]:
    opened = Desk(InlineEngine())
    yield opened
    opened.engine.close(end_session=True)


def held(thing: Any) -> int:
    """How many things are in its containers."""
    return sum(len(value) for value in vars(thing).values() if isinstance(value, dict | set | list))


def test_an_endless_job_whose_results_are_claimed_keeps_nothing(desk: Desk) -> None:
    engine = desk.engine
    assert isinstance(engine, InlineEngine)
    job, blobs = engine.new_job_id(), [desk.blob(abs)]
    engine.open_job(JobSpec(job, "map", "endless"))
    sizes = []
    for index in range(300):
        engine.submit(job, [TaskWire(index, "call", codec.dumps(((-index,), {})), blobs)], last=False)
        engine.cancel(job, [index])  # too late
        engine.claim(job, [index])
        sizes.append(held(engine._jobs[job]))
    assert desk.told.values(job)[299, 0] == 299
    assert sizes[-1] == sizes[0]
    engine.submit(job, [TaskWire(7, "call", b"", blobs)], last=False)  # sent again: not run again
    engine.submit(job, [], last=True)
    assert job not in engine._jobs


def test_a_job_keeps_a_bounded_tail_of_its_output(desk: Desk) -> None:
    text = ("z" * 1_999 + "\n") * 20
    payload, blobs, count = codec.dumps(((text,), {})), [desk.blob(print)], OUTPUT_KEPT // len(text) + 20
    talk = desk.launch("map", [TaskWire(index, "call", payload, blobs) for index in range(count)])
    before = len(desk.told.calls)
    desk.engine.attach_job(talk)
    replayed = [call[1] for call in desk.told.calls[before:] if call[0] == "output"]
    assert "earlier outputs were not kept" in replayed[0].text
    assert 0.9 * OUTPUT_KEPT < sum(len(output.text) for output in replayed) <= OUTPUT_KEPT


def test_of_actors_that_ended_a_few_are_remembered(desk: Desk) -> None:
    actors = desk.engine.actors
    ids = []
    for _ in range(REMEMBERED + 50):
        info = start(desk, Counter)
        actors.end(info.id, "was stopped")
        ids.append(info.id)
    failed = ask(desk, Broken).actor
    assert failed is not None
    assert [actors.find("", one).actor for one in ids[:51]] == [None] * 51
    last = actors.find("", ids[-1]).actor
    assert last is not None
    assert last.why == "was stopped"
    assert actors.find("", failed.id).actor == failed


def test_former_surroundings_are_not_kept(desk: Desk) -> None:
    engine = desk.engine
    assert isinstance(engine, InlineEngine)
    before = len(engine._blobs)
    for number in range(5):
        engine.set_context(interpreter(environ={"NUMBER": str(number)}))
    assert len(engine._blobs) == before
