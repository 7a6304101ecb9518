"""Actors through deaths: of their processes, and of a real hub."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import msgspec
import zmq
from conformance.recording import Desk, interpreter
from hub.acting import Caller, Counter, alive, ask, ended, once, request, start
from hub.bare import KERNEL, S, tell

from cellmesh.scheduler.core import events as ev
from cellmesh.scheduler.core.actor_events import ActorEndAsked
from cellmesh.scheduler.core.actors import DETACHED
from cellmesh.scheduler.core.core import Core
from cellmesh.scheduler.core.ids import ActorId
from cellmesh.scheduler.hub import recovery
from cellmesh.scheduler.hub.hub import Hub
from cellmesh.scheduler.hub.journal import Journal
from cellmesh.scheduler.hub.orders import Orders
from cellmesh.scheduler.hub.peers import Peers
from cellmesh.scheduler.hub.store import Store
from cellmesh.scheduler.hub.timers import Timers
from cellmesh.scheduler.objects import codec, segments
from cellmesh.scheduler.wire.messages import (
    ActorOptions,
    EndActor,
    PutBlob,
    Ref,
    SetContext,
    StartActor,
)
from tests.support import leftovers


def test_a_dead_actor_tells_when_why_and_what_it_said_last(desk: Desk) -> None:
    info = start(desk, Counter, name="llm")
    once(info, "shout", "loading layer 7")
    os.kill(info.pid, signal.SIGKILL)
    why = ended(desk, info.id).why
    assert why.startswith("was killed by SIGKILL at ")
    assert "peak memory" in why
    assert "loading layer 7" in why
    assert "was killed by SIGKILL" in desk.engine.actors.find("llm").why


class Fragile:
    """Can be made once."""

    def __init__(self, mark: str) -> None:
        Path(mark).touch(exist_ok=False)

    def pid(self) -> int:
        return os.getpid()


def test_one_that_cannot_be_brought_back_says_so(desk: Desk, tmp_path: Path) -> None:
    info = start(desk, Fragile, str(tmp_path / "mark"), restarts=5, checkpoint=False)
    os.kill(info.pid, signal.SIGKILL)
    over = ended(desk, info.id)
    assert over.why.startswith("could not be brought back at ")
    assert over.incarnation == 2
    assert codec.loads(over.failure).type_name == "FileExistsError"


def test_a_process_that_dies_is_replaced_while_restarts_are_left(desk: Desk) -> None:
    info = start(desk, Counter, 5, restarts=1, checkpoint=False)
    os.kill(info.pid, signal.SIGKILL)
    again = alive(desk, info.id, 2)
    assert again.pid != info.pid
    assert again.address != info.address
    assert once(again, "add", 1) == 6
    os.kill(again.pid, signal.SIGKILL)
    assert "the last of 2 deaths" in ended(desk, info.id).why


def test_one_that_is_told_to_end_goes_on_elsewhere_without_counting(desk: Desk) -> None:
    info = start(desk, Counter, restarts=1)
    os.kill(info.pid, signal.SIGTERM)
    second = alive(desk, info.id, 2)
    os.kill(second.pid, signal.SIGKILL)
    alive(desk, info.id, 3)
    frail = start(desk, Counter)
    os.kill(frail.pid, signal.SIGTERM)
    assert ended(desk, frail.id).why.startswith("was told to end (SIGTERM) at ")


def test_one_that_is_stopped_is_waited_for(desk: Desk) -> None:
    info = start(desk, Counter, 5, name="llm")
    os.kill(info.pid, signal.SIGSTOP)
    desk.told.wait(lambda: ("notice", "actor llm was stopped (SIGSTOP)") in desk.told.calls, "word of it")
    os.kill(info.pid, signal.SIGCONT)
    desk.told.wait(lambda: ("notice", "actor llm goes on (SIGCONT)") in desk.told.calls, "word of it")
    assert once(info, "add", 1) == 6


def test_a_method_that_does_not_end_does_not_keep_its_actor(desk: Desk) -> None:
    info = start(desk, Counter)
    with Caller(info) as caller:
        caller.begin("sleep", 600)
        caller.until_busy()
        desk.engine.actors.end(info.id, "")
        assert leftovers.wait_until_gone([info.pid]) == []


def test_an_actor_survives_the_hubs_death_and_its_callers_do_not_notice(desk: Desk) -> None:
    info = start(desk, Counter, name="llm", restarts=1, checkpoint=False)
    with Caller(info) as caller:
        assert caller.call("add", 1) == 1
        os.kill(desk.engine.status().pid, signal.SIGKILL)
        assert [caller.call("add", 1) for _ in range(100)] == list(range(2, 102))
        found = desk.engine.actors.find("llm").actor
        assert found == info
        assert caller.call("add", 1) == 102
    os.kill(info.pid, signal.SIGKILL)
    assert once(alive(desk, info.id, 2), "add", 1) == 1


def _another_hub(desk: Desk) -> None:
    """kill -9 for the hub, and wait until the next one answers."""
    before = desk.engine.status().pid
    os.kill(before, signal.SIGKILL)
    assert desk.engine.status().pid != before


def test_a_hub_that_recalls_earlier_deaths_leaves_the_living_one_its_socket(desk: Desk) -> None:
    info = start(desk, Counter, restarts=2, checkpoint=False)
    os.kill(info.pid, signal.SIGKILL)
    second = alive(desk, info.id, 2)
    _another_hub(desk)
    assert once(second, "add", 1) == 1  # a new connection
    os.kill(second.pid, signal.SIGKILL)
    third = alive(desk, info.id, 3)
    _another_hub(desk)
    assert once(third, "add", 1) == 1


def test_a_hub_that_is_back_says_again_how_actors_are(desk: Desk) -> None:
    info, short = start(desk, Counter), start(desk, Counter)
    desk.engine.actors.end(short.id, "")
    ended(desk, short.id)
    before, told_of_end = len(desk.told.actors(info.id)), len(desk.told.actors(short.id))
    _another_hub(desk)
    desk.told.wait(lambda: len(desk.told.actors(info.id)) > before, "word of the actor")
    assert desk.told.actors(info.id)[-1] == info
    assert len(desk.told.actors(short.id)) == told_of_end


def test_a_start_that_is_asked_for_again_starts_nothing(desk: Desk) -> None:
    wanted = request(desk, Counter, name="llm", replace=True)
    first, again = desk.engine.actors.start(wanted), desk.engine.actors.start(wanted)
    assert first.actor is not None
    assert again.actor is not None
    assert again.actor.id == first.actor.id
    assert again.fresh
    info = alive(desk, first.actor.id)
    desk.engine.actors.end(info.id, "")
    ended(desk, info.id)
    late = desk.engine.actors.start(wanted).actor
    assert late is not None
    assert late.state == "ended"


def test_a_death_while_the_hub_is_away_is_seen(desk: Desk) -> None:
    mortal, other = start(desk, Counter), start(desk, Counter, restarts=1)
    nursery, hub = desk.engine.status().nursery, desk.engine.status().pid
    os.kill(nursery, signal.SIGSTOP)  # nobody starts a new hub meanwhile
    os.kill(hub, signal.SIGKILL)
    os.kill(mortal.pid, signal.SIGKILL)
    os.kill(other.pid, signal.SIGKILL)
    os.kill(nursery, signal.SIGCONT)
    ended(desk, mortal.id)
    alive(desk, other.id, 2)


def test_one_that_was_starting_when_the_hub_died_is_there_once(desk: Desk) -> None:
    for _ in range(3):
        answer = ask(desk, Counter)
        assert answer.actor is not None
        os.kill(desk.engine.status().pid, signal.SIGKILL)
        assert once(alive(desk, answer.actor.id), "add", 1) == 1
    assert len(desk.engine.actors.all()) == 3


def test_a_compacted_journal_has_the_actors(hub: Hub, tmp_path: Path, router: zmq.Socket[bytes]) -> None:
    segment = segments.new_name(f"test-{uuid.uuid4().hex[:6]}-")
    path = Path(segments.path_of(segment))
    path.write_bytes(b"large arguments")
    tell(hub, KERNEL, 1, SetContext("context", msgspec.msgpack.encode(interpreter())), PutBlob("class", b"C"))
    wanted = StartActor(
        1, 7, "llm", "Model", "1", "class", Ref(segment, 15), ActorOptions(detached=True, restarts=1)
    )
    tell(hub, KERNEL, 2, wanted)
    assert hub.core.state.names[DETACHED, "llm"] == 7
    journal = Journal(tmp_path / "journal")
    recovery.compact(hub, journal, 3.0)
    peers, store, pool = Peers(router, 1), Store(), hub.orders.pool
    orders = Orders("test", "ipc://nowhere", tmp_path, store, peers, pool, Timers())
    again = Hub("test", Core(), store, peers, orders)
    assert recovery.replay(again, journal)
    journal.close()
    again.orders.replaying = True
    assert again.core.state == hub.core.state
    assert again.lives.kept == hub.lives.kept
    again.feed(ev.SessionEnded(4.0, S))
    assert path.exists()
    tell(again, KERNEL, 3, EndActor(7, ""))
    again.feed(ActorEndAsked(5.0, ActorId(7), "was stopped"))
    for worker in list(again.core.state.workers):
        again.worker_gone(6.0, worker, "ended itself")
    assert not path.exists()
    assert not again.lives.kept
