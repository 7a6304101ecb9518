"""Calls that travel together, through real workers: each ends by itself, whatever befalls its neighbours."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from guests.conftest import attach
from guests.waiting import hold, until

import cellmesh as cm
from cellmesh.kernel import attaching, submitting
from cellmesh.kernel.backlog import PATIENCE
from cellmesh.kernel.kinds import RECENT
from cellmesh.kernel.options import DEFAULT
from cellmesh.kernel.records import WorkerLost
from cellmesh.kernel.session import Session
from cellmesh.kernel.submitting import submissions_of
from cellmesh.scheduler.engines.contract import EngineError


@pytest.fixture(scope="module")
def pool() -> Iterator[Session]:
    """Two cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLMESH_CPUS", "2")
        session = attach("embedded")
        yield session
        session.close(end_session=True)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, pool: Session) -> Iterator[Session]:
    """A pool for one test alone, on a hub of its own; the other one is attached again later."""
    monkeypatch.setenv("CELLMESH_CPUS", "2")
    monkeypatch.setattr(attaching, "_session", None)
    session = attach("embedded")
    yield session
    session.close(end_session=True)


def noted(place: int, ran: str, gate: str = "", deadly: bool = False) -> int:
    """A call that leaves a trace of itself, and may wait for a file or end its worker."""
    with open(ran, "ab", 0) as file:
        file.write(b"%d\n" % place)
    if deadly:
        os._exit(1)
    if gate:
        until(Path(gate).exists, gate)
    return place


class Together:
    """Calls that left while both cores were held, so that they travel in bundles."""

    def __init__(self, folder: Path) -> None:
        self.ran, self.gate = str(folder / "ran"), str(folder / "gate")
        self._go = folder / "go"
        Path(self.ran).touch()
        for place in range(100):  # now calls of this function are known to be short
            cm.submit(noted, place, os.devnull).result()
        self._held = [cm.submit(hold, folder / f"held-{i}", self._go) for i in range(2)]
        until(lambda: len([*folder.glob("held-*")]) == 2, "both cores are held")

    def submit(self, count: int, **special: tuple[Any, ...]) -> list[Any]:
        """Calls 0 to count - 1, of which some are special: `_3=(gate,)`."""
        calls = [cm.submit(noted, i, self.ran, *special.get(f"_{i}", ())) for i in range(count)]
        until(lambda: all(call.index >= 0 for call in calls), "they have left")
        return calls

    def go(self) -> None:
        self._go.touch()

    def counts(self) -> Counter[int]:
        """How often each ran."""
        return Counter(int(line) for line in Path(self.ran).read_text().split())


@pytest.fixture
def together(pool: Session, tmp_path: Path) -> Iterator[Together]:
    """What is held is let go in any case."""
    made = Together(tmp_path)
    yield made
    made.go()
    Path(made.gate).touch()


def bundle_of(calls: list[Any], place: int) -> list[int]:
    """The places of those that left as one task with this one."""
    return [i for i, call in enumerate(calls) if call.index == calls[place].index]


def test_a_cancelled_call_that_runs_in_a_bundle_takes_no_other_with_it(together: Together) -> None:
    calls = together.submit(40, _20=(together.gate,))
    assert len(bundle_of(calls, 20)) > 1
    together.go()
    until(lambda: together.counts()[20] == 1, "the long one begins")
    assert calls[20].cancel()
    assert [call.result(30) for i, call in enumerate(calls) if i != 20] == [i for i in range(40) if i != 20]
    with pytest.raises(CancelledError):
        calls[20].result()
    assert together.counts() == Counter(range(40))
    assert not Path(together.gate).exists()


def test_a_long_call_is_not_stopped_for_a_cancelled_one_behind_it(together: Together) -> None:
    calls = together.submit(40, _20=(together.gate,))
    mates = bundle_of(calls, 20)
    assert mates[-1] > 20
    together.go()
    until(lambda: together.counts()[20] == 1, "the long one begins")
    assert calls[mates[-1]].cancel()
    cm.submit(time.sleep, 3 * PATIENCE).result(30)  # by then it would have been stopped
    Path(together.gate).touch()
    assert [c.result(30) for i, c in enumerate(calls) if i != mates[-1]] == [
        i for i in range(40) if i != mates[-1]
    ]
    assert calls[mates[-1]].cancelled()
    assert together.counts()[20] == 1


def test_a_cancelled_call_is_stopped_once_the_bundle_comes_to_it(together: Together) -> None:
    never = together.gate + "-that-never-opens"
    calls = together.submit(40, _20=(together.gate,), _21=(never,))
    assert 21 in bundle_of(calls, 20)
    together.go()
    until(lambda: together.counts()[20] == 1, "the innocent long one begins")
    assert calls[21].cancel()
    Path(together.gate).touch()
    assert [call.result(20) for i, call in enumerate(calls) if i != 21] == [i for i in range(40) if i != 21]
    assert together.counts()[20] == 1


def test_of_a_bundle_whose_worker_dies_only_the_culprit_is_lost(together: Together) -> None:
    calls = together.submit(40, _20=("", True))
    assert len(bundle_of(calls, 20)) > 1
    together.go()
    assert [call.result(60) for i, call in enumerate(calls) if i != 20] == [i for i in range(40) if i != 20]
    with pytest.raises(WorkerLost):
        calls[20].result(60)


def test_without_retries_nothing_runs_twice(pool: Session, tmp_path: Path) -> None:
    ran = str(tmp_path / "ran")
    calls = [cm.submit(noted, i, ran, "", i == 20, retries=0) for i in range(40)]
    assert [call.result(60) for i, call in enumerate(calls) if i != 20] == [i for i in range(40) if i != 20]
    with pytest.raises(WorkerLost):
        calls[20].result(60)
    assert Counter(int(line) for line in Path(ran).read_text().split()) == Counter(range(40))


def test_callbacks_submit_again(pool: Session) -> None:
    done = threading.Event()
    got: list[int] = []

    def again(future: Any) -> None:
        got.append(future.result())
        if len(got) < 200:
            cm.submit(abs, -len(got)).add_done_callback(again)
        else:
            done.set()

    cm.submit(abs, 0).add_done_callback(again)
    assert done.wait(60)
    assert got == list(range(200))


def nested(x: int) -> int:
    return sum(one.result() for one in [cm.submit(pow, x, 2) for _ in range(3)])


def test_tasks_submit(pool: Session) -> None:
    assert [call.result(60) for call in [cm.submit(nested, x) for x in range(20)]] == [
        3 * x * x for x in range(20)
    ]


def test_threads_submit_at_once_also_as_jobs_roll_over(
    pool: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions_of(pool).seal()  # what other tests have submitted may have failed
    monkeypatch.setattr(submitting, "ROLL_TASKS", 300)
    got: dict[int, list[Any]] = {}

    def submits(number: int) -> None:
        got[number] = [cm.submit(pow, number, i % 5) for i in range(1000)]

    threads = [threading.Thread(target=submits, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, calls in got.items():
        assert [call.result(60) for call in calls] == [number ** (i % 5) for i in range(1000)]
    jobs = {call.job.id: call.job for calls in got.values() for call in calls}
    assert len(jobs) > 20
    submissions_of(pool).seal()
    for job in jobs.values():
        job.wait(30)
        assert job.done == job.items


def test_a_job_is_sealed_while_calls_wait_for_room_and_for_each_other(
    together: Together, pool: Session
) -> None:
    calls = [cm.submit(noted, i, together.ran) for i in range(100)]
    later = [cm.submit(lambda x: x + 1, call) for call in calls]
    submissions_of(pool).seal()
    together.go()
    assert [call.result(30) for call in later] == list(range(1, 101))
    job = calls[0].job
    job.wait(30)
    assert (job.done, job.items) == (job.total, job.total)
    assert together.counts() == Counter(range(100))


def test_a_call_comes_after_others_however_these_end(together: Together, pool: Session) -> None:
    first = [cm.submit(noted, 0, together.ran), cm.submit(divmod, 1, 0), cm.submit(noted, 2, together.ran)]
    assert first[2].cancel()
    last = submissions_of(pool).submit(noted, (3, together.ran), {}, "noted", DEFAULT, after=first)
    unwanted = submissions_of(pool).submit(noted, (4, together.ran), {}, "noted", DEFAULT, after=first)
    assert unwanted.cancel()
    assert not last.done()
    together.go()
    assert last.result(30) == 3
    assert Path(together.ran).read_text().split() == ["0", "3"]


def test_what_a_lost_engine_leaves_fails(own: Session, tmp_path: Path) -> None:
    slow = [cm.submit(hold, tmp_path / f"{i}", tmp_path / "never") for i in range(50)]
    later = [cm.submit(str, call) for call in slow]
    os.kill(own.engine.status().nursery, 9)
    for call in slow + later:
        with pytest.raises(EngineError, match="has ended, and its workers with it"):
            call.result(30)


def test_what_a_closed_session_leaves_fails(own: Session, tmp_path: Path) -> None:
    slow = [cm.submit(hold, tmp_path / f"{i}", tmp_path / "never") for i in range(50)]
    later = [cm.submit(str, call) for call in slow]
    own.close(end_session=True)
    for call in slow + later:
        with pytest.raises((EngineError, CancelledError), match=r"was closed|was cancelled"):
            call.result(30)


def test_what_a_reset_leaves_is_cancelled(own: Session, tmp_path: Path) -> None:
    slow = [cm.submit(hold, tmp_path / f"{i}", tmp_path / "never") for i in range(50)]
    later = [cm.submit(str, call) for call in slow]
    own.reset()
    for call in slow + later:
        with pytest.raises(CancelledError):
            call.result(30)
    assert cm.submit(abs, -1).result(30) == 1


def test_functions_that_are_gone_are_forgotten(own: Session) -> None:
    kinds = submissions_of(own).kinds
    for i in range(1000):
        assert cm.submit(lambda x, i=i: x + i, 1).result() == 1 + i
    for seed in range(200):
        cm.submit(nested, 0, seed=seed).result()
    gc.collect()
    own.drain_claims()
    assert len(kinds._kinds) <= RECENT + 1
    assert len(own.engine._blobs) <= RECENT + 2  # type: ignore[attr-defined]


def test_a_function_is_kept_though_an_equal_one_goes(own: Session) -> None:
    def made() -> Any:
        return lambda x: x + 1

    first, second = made(), made()
    assert cm.submit(first, 1).result() + cm.submit(second, 1).result() == 4
    del first
    for i in range(RECENT + 1):
        cm.submit(lambda x, i=i: x + i, 1).result()
    gc.collect()
    own.drain_claims()
    assert cm.submit(second, 2).result(30) == 3
