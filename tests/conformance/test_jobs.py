"""Output, cancelling, claiming, surroundings and status, on every engine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from conformance.recording import Desk, interpreter

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import TaskWire


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
    from cellmesh.scheduler.objects.cells import CellCode

    task = TaskWire(0, "cell", codec.dumps(CellCode(code, "<cell>", 1, ())), [], pool="mesh", worker=0)
    job = desk.launch("cell", [task])
    desk.told.wait(lambda: desk.told.text(job) == "running\n", "first line")
    desk.engine.cancel(job)
    assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    assert desk.value(desk.cell("kept")) == 1
    assert desk.told.mesh()[0].pid == pid


@pytest.mark.promise("interrupts")
def test_code_that_has_hardly_begun_is_interrupted_and_its_worker_keeps_its_names(desk: Desk) -> None:
    from cellmesh.scheduler.objects.cells import CellCode

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
        import time

        if x == 2:
            time.sleep(60)
        return x

    job = desk.launch("map", desk.map_tasks(wait, [0, 1, 2, 3], 4))
    desk.told.wait(lambda: desk.told.raw(job), "first item")
    desk.engine.cancel(job)
    assert desk.told.wait_settled(job, 1) == {0: "cancelled"}
    assert desk.told.values(job) == {(0, 0): 0, (0, 1): 1}


@pytest.mark.promise("surroundings")
def test_surroundings_follow_the_kernel(desk: Desk, tmp_path: Path) -> None:
    def surroundings() -> tuple[str, str | None, str]:
        import os
        import sys

        return os.getcwd(), os.environ.get("CONFORMANCE"), sys.path[-1]

    environ = {**os.environ, "CONFORMANCE": "yes"}
    path = [*sys.path, str(tmp_path)]
    desk.engine.set_context(interpreter(cwd=str(tmp_path), environ=environ, path=path))
    assert desk.value(desk.call(surroundings)) == (str(tmp_path), "yes", str(tmp_path))
    desk.engine.set_context(interpreter())
    assert desk.value(desk.call(surroundings)) == (os.getcwd(), None, sys.path[-1])


@pytest.mark.promise("surroundings")
def test_a_missing_working_directory_is_a_clear_error(desk: Desk, tmp_path: Path) -> None:
    desk.engine.set_context(interpreter(cwd=str(tmp_path / "gone")))
    job = desk.call(int)
    assert desk.told.states(job) == {0: "failed"}
    assert desk.value(job).type_name == "NoSuchFolderError"
    assert "gone" in desk.value(job).message


def test_an_edited_module_is_the_edited_module(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "edited_conformance.py"
    module.write_text("def answer(): return 1\n")
    desk.mesh(1)
    desk.engine.set_context(interpreter(path=[str(tmp_path), *sys.path]))
    assert desk.value(desk.cell("from edited_conformance import answer\nanswer()")) == 1
    module.write_text("def answer(): return 2\n")
    os.utime(module, ns=(1, 1))
    assert desk.value(desk.cell("from edited_conformance import answer\nanswer()")) == 2
    module.write_text("def answer(: return 3\n")
    failure = desk.value(desk.cell("answer()"))
    assert failure.type_name == "SyntaxError"
    sys.modules.pop("edited_conformance", None)


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


def test_status_shows_the_mesh_and_the_jobs(desk: Desk) -> None:
    desk.mesh(2)
    desk.cell("x = 1", worker=1)
    job = desk.launch("map", desk.map_tasks(abs, [-1, "no"], 2), background=True)
    desk.told.wait_settled(job, 1)
    (session,) = desk.engine.status().sessions
    assert session.attached
    assert [(w.number, w.names) for w in session.mesh] == [(0, []), (1, ["x"])]
    info = {j.id: j for j in session.jobs}[job]
    assert (info.items, info.done, info.failed, info.running) == (2, 1, 1, 0)
    assert info.finished
    assert info.background


def test_the_mesh_grows_and_shrinks(desk: Desk) -> None:
    first = {w.number: w.id for w in desk.mesh(2)}
    desk.cell("x = 1", worker=0)
    desk.mesh(1)
    grown = {w.number: w.id for w in desk.mesh(2)}
    assert grown[0] == first[0]
    assert grown[1] != first[1]
    assert desk.value(desk.cell("x", worker=0)) == 1


def test_reset_gives_a_fresh_mesh(desk: Desk) -> None:
    before = desk.mesh(1)[0].id
    desk.cell("x = 1")
    desk.engine.reset()
    desk.told.wait(lambda: [w.id for w in desk.told.mesh()] not in ([], [before]), "fresh worker")
    desk.mesh(1)
    assert desk.value(desk.cell("'x' in globals()")) is False


def test_setup_cells_run_on_new_workers(desk: Desk) -> None:
    desk.mesh(1)
    desk.cell("ready = 'yes'", setup=True)
    desk.mesh(2)
    assert desk.value(desk.cell("ready", worker=1)) == "yes"


@pytest.mark.promise("logs")
def test_everything_printed_is_in_the_log(desk: Desk) -> None:
    from cellmesh.scheduler.objects.logbook import read_logs

    desk.mesh(1)
    job = desk.cell("for i in range(5000): print(i)")
    text = "".join(record.text for record in read_logs(desk.engine.logs(), worker=0, job=job))
    assert text == "".join(f"{i}\n" for i in range(5000))
