"""Recording, replaying, telling; the tables and their drawing; the core's cost of import."""

import subprocess
import sys
import typing
from pathlib import Path

import pytest
from core_script import A, W, over, pinned, task

from cellmesh.scheduler.core import events as e
from cellmesh.scheduler.core.actor_events import ActorSpec
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.replay import dump, load, replay
from cellmesh.scheduler.core.state import Task, TaskState, Worker, WorkerState
from cellmesh.scheduler.core.story import Recorder
from cellmesh.scheduler.core.transitions import InvalidTransition, move, shift

ROOT = Path(__file__).resolve().parents[2]

EVENTS = [
    e.HubStarted(0.0, 1, 2, ("g0",)),
    e.SessionAttached(0.1, "s", "c", "s.ipynb", 60.0),
    e.MeshRequested(0.2, "s", 1),
    e.WorkerReady(0.3, W),
    e.JobOpened(0.4, 1, "s", "map", "f", setup=False),
    e.TasksSubmitted(0.5, 1, (pinned(0, 0), task(1, size=2, retries=1), over(2)), True),
    e.WorkerReady(0.6, W + 1),
    e.ItemsReported(0.7, W, 1, 0, A, ((0, True, 1),), e.Outcome.OK),
    e.ItemsReported(0.8, W + 1, 1, 1, A + 1, ((1, False, 1),), None),
    e.WorkerLost(0.9, W + 1, "was killed by SIGSEGV"),
    e.WorkerReady(1.0, W + 2),
    e.CancelRequested(1.1, 1, (1,)),
    e.TimerFired(1.2, f"overdue:{W + 2}:{A + 3}"),
    e.WorkerPaused(1.22, W, True),
    e.WorkerPaused(1.23, W, False),
    e.WorkerDraining(1.24, W),
    e.TaskWaiting(1.25, W, 1, 2, A + 2, True),
    e.JobsAbandoned(1.27, (7, 8)),
    e.ResultsClaimed(1.3, 1, None),
    e.ClientLost(1.4, "c"),
    e.HubRecovered(1.5, 2, (W, W + 2)),
    e.WorkerReady(1.6, W, ((1, 2, A + 2),)),
    e.ActorRequested(1.61, "c", 1, "s", 9, "llm", "Model", "same", ActorSpec(restarts=1)),
    e.WorkerReady(1.62, 2_000_001, hosting=(9, 1)),
    e.ActorUp(1.63, 2_000_001, 9, 1),
    e.ActorRenewed(1.64, 9, "newer"),
    e.ActorEndAsked(1.65, 9, "was stopped"),
    e.SessionReset(1.7, "s"),
    e.SessionEnded(1.8, "s"),
]


def test_a_run_survives_as_text():
    assert {type(event) for event in EVENTS} == set(typing.get_args(e.Event))
    assert load(dump(EVENTS)) == EVENTS
    core = Core()
    for event in EVENTS:
        core.handle(event)
    assert replay(load(dump(EVENTS))).state == core.state


def test_older_runs_lack_newer_fields():
    assert load('["JobOpened", {"at": 0.0, "job": 1, "session": "s", "kind": "map", "title": "f"}]\n') == [
        e.JobOpened(0.0, 1, "s", "map", "f")
    ]


def test_the_story_of_a_task():
    recorder = Recorder()
    for event in EVENTS[:13]:
        recorder.handle(event)
    assert recorder.story(job=1, task=1) == [
        "0.400 JobOpened(job=1, session=s, kind=map, title=f, background=False, stop_on_error=False, "
        "setup=False, parent=None, client=None)",
        "0.500 TasksSubmitted(job=1, tasks=(TaskSpec(index=1, size=2, pool=<Pool.TASK: 'task'>, worker=None, "
        "gpus=0, retries=1, cpus=1000, memory=0, priority=0, timeout=0.0),), last=True)",
        "0.600 WorkerReady(worker=1000002, holding=(), hosting=None)",
        f"    -> StartTask(worker=1000002, job=1, task=1, attempt={A + 1}, skip=(), careful=False)",
        f"0.800 ItemsReported(worker=1000002, job=1, task=1, attempt={A + 1}, "
        "items=((1, False, 1),), outcome=None, returned=None)",
        "    -> DeliverItems(job=1, task=1, worker=1000002, accepted=(0,))",
        "0.900 WorkerLost(worker=1000002, why=was killed by SIGSEGV, mark=None, elsewhere=)",
        "1.000 WorkerReady(worker=1000003, holding=(), hosting=None)",
        f"    -> StartTask(worker=1000003, job=1, task=1, attempt={A + 3}, skip=(1,), careful=True)",
        "1.100 CancelRequested(job=1, tasks=(1,), force=False, queued=False)",
        f"    -> InterruptTask(worker=1000003, job=1, task=1, attempt={A + 3})",
    ]
    assert recorder.story(worker=W + 1)[0].startswith("0.500 TasksSubmitted")
    assert (
        recorder.story(worker=W + 1)[1]
        == "    -> StartWorker(worker=1000002, session=s, number=None, gpus=(), actor=None)"
    )
    assert recorder.events() == EVENTS[:13]


def test_the_log_is_capped():
    recorder = Recorder(limit=2)
    for event in EVENTS[:5]:
        recorder.handle(event)
    assert recorder.events() == EVENTS[3:5]


def test_an_illegal_change_tells_its_story():
    recorder = Recorder()
    for event in EVENTS[:6]:
        recorder.handle(event)
    recorder.core.state.jobs[1].tasks[0].state = TaskState.LOST  # as if by a bug
    with pytest.raises(InvalidTransition, match="lost -> done") as caught:
        recorder.handle(EVENTS[7])
    assert "TasksSubmitted" in str(caught.value)


def test_only_the_tables_changes_are_possible():
    with pytest.raises(InvalidTransition, match="queued -> done"):
        move(Task(task(), 1), TaskState.DONE)
    with pytest.raises(InvalidTransition, match="starting -> starting"):
        shift(Worker(1, "s", 0, ()), WorkerState.STARTING)


def test_the_drawing_is_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "tools" / "diagram.py", "--check"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_the_core_imports_nothing_of_the_world():
    banned = {"asyncio", "zmq", "time", "random", "logging", "socket", "threading", "os"}
    for path in (ROOT / "scheduler" / "core").glob("*.py"):
        lines = path.read_text().splitlines()
        named = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
        assert not named & banned, path
        assert len(lines) <= 300, f"{path.name} has grown too long"
