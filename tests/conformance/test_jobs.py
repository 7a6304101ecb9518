"""Cancelling, Stop, claiming and keeping, on every engine."""

from __future__ import annotations

import time

import pytest
from conformance.recording import Desk

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import TaskWire

pytestmark = pytest.mark.promise("jobs")


def test_cancelling_a_finished_task_changes_nothing(desk: Desk) -> None:
    job = desk.call(int)
    desk.engine.cancel(job)
    desk.engine.cancel(job, [0])
    desk.engine.cancel(job, force=True)
    later = desk.call(int)
    assert desk.told.states(job) == {0: "done"}
    assert desk.told.states(later) == {0: "done"}


def test_a_cancelled_job_takes_no_more(desk: Desk) -> None:
    from cellmesh.scheduler.engines.contract import JobSpec

    job = desk.engine.new_job_id()
    desk.engine.open_job(JobSpec(job, "map", "a job"))
    desk.engine.cancel(job)
    desk.engine.submit(job, desk.map_tasks(abs, [1, 2, 3], 1), last=True)
    assert set(desk.told.wait_settled(job, 3).values()) == {"cancelled"}
    assert desk.told.values(job) == {}


@pytest.mark.promise("interrupts")
def test_running_code_is_interrupted_and_its_worker_keeps_its_names(desk: Desk) -> None:
    desk.mesh(1)
    desk.cell("kept = 1")
    pid = desk.told.mesh()[0].pid
    code = "print('running')\nimport time\nwhile True: time.sleep(0.01)"
    task = TaskWire(0, "cell", codec.dumps(CellCode(code, "<cell>", 1, ())), [], pool="mesh", worker=0)
    job = desk.launch("cell", [task])
    desk.told.wait(lambda: desk.told.text(job) == "running\n", "first line")
    desk.engine.cancel(job)
    assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    assert desk.value(desk.cell("kept")) == 1
    assert desk.told.mesh()[0].pid == pid


@pytest.mark.promise("interrupts")
def test_code_that_has_hardly_begun_is_interrupted_and_its_worker_keeps_its_names(desk: Desk) -> None:
    desk.mesh(1)
    desk.cell("kept = 1")
    pid = desk.told.mesh()[0].pid
    code = CellCode("import time\nwhile True: time.sleep(0.01)", "<cell>", 1, ())
    task = TaskWire(0, "cell", codec.dumps(code), [], pool="mesh", worker=0)
    for _ in range(30):  # each at another moment of its beginning
        job = desk.launch("cell", [task])
        desk.engine.cancel(job)
        assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    assert desk.value(desk.cell("kept")) == 1
    assert desk.told.mesh()[0].pid == pid


@pytest.mark.promise("interrupts")
def test_an_interrupted_map_keeps_what_is_done(desk: Desk) -> None:
    def wait(x: int) -> int:

        if x == 2:
            time.sleep(60)
        return x

    job = desk.launch("map", desk.map_tasks(wait, [0, 1, 2, 3], 4))
    desk.told.wait(lambda: desk.told.raw(job), "first item")
    desk.engine.cancel(job)
    assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    assert desk.told.values(job) == {(0, 0): 0, (0, 1): 1}


def test_what_is_claimed_is_forgotten(desk: Desk) -> None:
    job = desk.launch("map", desk.map_tasks(abs, [-1, -2], 1))
    desk.told.wait_settled(job, 2)
    desk.told.calls.clear()
    desk.engine.claim(job, [0])
    desk.engine.attach_job(job)
    desk.told.wait(lambda: any(c[0] == "job" for c in desk.told.calls), "answer to attach")
    assert desk.told.calls[-1][2] is False
    desk.engine.claim(job)
    desk.engine.attach_job(job)
    desk.told.wait(lambda: sum(c[0] == "job" for c in desk.told.calls) == 2, "second answer")
    assert desk.told.calls[-1][2] is True


@pytest.mark.promise("refusals")
def test_an_unknown_job_is_refused(desk: Desk) -> None:
    job = desk.engine.new_job_id()
    desk.engine.submit(job, [TaskWire(0, "call", codec.dumps(((), {})), [desk.blob(int)])], last=True)
    desk.told.wait(lambda: any(c[0] == "refused" and c[2] == job for c in desk.told.calls), "refusal")
