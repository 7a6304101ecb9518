"""A full disk, no file descriptors, code that breaks ours: a call may fail, the actor lives on and tells."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from worker.hosting import BOUND, Hosted, Line, connected, eventually

from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.direct import AskFacts, CancelCall, Facts
from cellmesh.scheduler.worker.host import memory

pytestmark = pytest.mark.skipif(not system.LINUX, reason="limits of another process are set by prlimit")

Start = Callable[..., Hosted]


class Counter:
    """What the tests call."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, _: str = "") -> int:
        self.n += 1
        return self.n

    def sleep(self, seconds: float) -> None:
        print("asleep", flush=True)
        time.sleep(seconds)

    def pause(self, folder: str) -> int:
        self.n += 1
        if os.path.exists(f"{folder}/wait"):
            open(f"{folder}/waits", "w").close()
            time.sleep(60)
        return self.n

    def die(self) -> None:
        os._exit(3)

    def hold(self) -> None:
        self.held = {"in": (1, threading.Lock())}

    def break_facts(self) -> None:
        def held() -> int:
            raise ZeroDivisionError("no driver")

        memory.held = held


@contextmanager
def limited(host: Hosted, kind: int, value: int) -> Iterator[None]:
    """Files cannot be larger, or descriptors more, than this."""
    before = resource.prlimit(host.process.pid, kind)
    resource.prlimit(host.process.pid, kind, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(host.process.pid, kind, before)


def notes(line: Line) -> list[str]:
    return [text for number, kind, text in line.said if kind == "note" and not number]


def test_a_call_that_cannot_be_logged_has_not_run_and_the_log_stays_whole(start: Start) -> None:
    host = start(Counter, restarts=9, replay=True, checkpoint=False)
    line = Line(host.address)
    assert line.ask("add") == 1
    (log,) = (host.folder / "home").glob("calls.*")
    with limited(host, resource.RLIMIT_FSIZE, log.stat().st_size + 7):
        failure = line.failure(line.call("add", "x" * 100))
    assert failure.type_name == "NotBegunError"
    assert "has not run" in failure.message
    assert str(log.parent) in failure.message
    assert line.ask("add") == 2
    host.again()
    assert Line(host.address, "other").ask("add") == 3


def test_a_caller_that_cannot_be_written_down_has_not_called(start: Start) -> None:
    host = start(Counter, restarts=9, checkpoint=False)
    first = Line(host.address, "first")
    assert first.ask("add") == 1
    with limited(host, resource.RLIMIT_FSIZE, 3):
        second = Line(host.address, "second")
        assert second.failure(second.call("add")).type_name == "NotBegunError"
        assert first.ask("add") == 2
    assert second.ask("add") == 3
    host.again()
    again = Line(host.address, "second")
    assert again.met is not None
    assert again.met.begun == [2]


def test_a_checkpoint_that_the_disk_does_not_take_is_told_and_tried_again(start: Start) -> None:
    host = start(Counter, restarts=9)
    line = Line(host.address)
    line.ask("add")
    with limited(host, resource.RLIMIT_FSIZE, 3):
        line.ask("add")
        line.until(lambda: notes(line))
    assert "No checkpoint could be written" in notes(line)[0]
    line.tell(AskFacts(1))
    line.until(lambda: line.others)
    assert line.others[0].note == notes(line)[0]
    assert line.answer(line.send("", b"", kind="save")).state == "ok"
    line.tell(AskFacts(2))
    line.until(lambda: len(line.others) > 1)
    assert line.others[1].note == ""
    host.again()
    assert Line(host.address, "other").ask("add") == 3


def test_new_callers_wait_for_file_descriptors_and_the_others_go_on(start: Start) -> None:
    host = start(Counter)
    line = Line(host.address)
    held = len(os.listdir(f"/proc/{host.process.pid}/fd"))
    with limited(host, resource.RLIMIT_NOFILE, held):
        waiting = connected(host.address)
        line.until(lambda: notes(line))
        assert [line.ask("add") for _ in range(100)] == list(range(1, 101))
    assert "new callers wait" in notes(line)[0]
    assert Line(host.address, "other").ask("add") == 101
    assert len(notes(line)) == 1
    waiting.close()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_what_cannot_be_done_costs_one_caller_its_connection(start: Start, busy: bool) -> None:
    host = start(Counter)
    line, other = Line(host.address), Line(host.address, "other")
    line.ask("break_facts")
    number = line.call("sleep", 60) if busy else 0
    line.until(lambda: line.said or not busy)
    other.tell(AskFacts(1))
    with pytest.raises(EOFError):
        other.until(lambda: any(isinstance(one, Facts) for one in other.others))
    line.until(lambda: notes(line))
    assert "ZeroDivisionError: no driver" in notes(line)[0]
    assert "in held" in "".join(path.read_bytes().decode(errors="replace") for path in logs(host))
    if busy:
        line.tell(CancelCall(number))
        assert line.answer(number).state == "cancelled"
    assert Line(host.address, "other").ask("add") == 1


def logs(host: Hosted) -> list[Path]:
    return [path for path in host.folder.iterdir() if path.name.endswith(".log")]


def test_a_call_that_kills_its_process_twice_is_left_out_of_the_replay(start: Start) -> None:
    host = start(Counter, restarts=9, replay=True)
    line = Line(host.address)
    line.ask("add")
    line.call("die")
    assert host.process.wait(BOUND) == 3
    host.again()
    assert host.process.wait(BOUND) == 3  # it is run again, and dies of it again
    host.again()
    again = Line(host.address)
    assert again.failure(2).type_name == "DeadlyCallError"
    assert "killed the actor's process" in notes(again)[0]
    again.number = 2
    assert again.ask("add") == 2
    host.again()
    assert Line(host.address, "other").ask("add") == 3


def test_a_call_that_was_answered_is_not_to_blame_for_the_first_death(start: Start, tmp_path: Path) -> None:
    host = start(Counter, restarts=9, replay=True, checkpoint=False)
    line = Line(host.address)
    assert line.ask("pause", str(tmp_path)) == 1
    host.kill()  # as it was idle
    (tmp_path / "wait").touch()
    replay = threading.Thread(target=host.begin)
    replay.start()
    eventually((tmp_path / "waits").exists)
    host.process.kill()  # in the midst of the call
    replay.join(BOUND)
    (tmp_path / "wait").unlink()
    host.again()
    assert Line(host.address, "other").ask("add") == 2


def test_what_cannot_be_pickled_of_a_state_is_named(start: Start) -> None:
    line = Line(start(Counter, restarts=1).address)
    line.ask("hold")
    line.until(lambda: notes(line))
    named = "self.held['in'][1], a lock, cannot be pickled"
    assert notes(line)[0].startswith(f"Checkpoints are off: {named}")
    assert named in line.failure(line.send("", b"", kind="save")).message
    assert line.ask("add") == 1
