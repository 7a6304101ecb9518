"""Actors' lives, as every engine has them; calls go straight to them and are tested elsewhere."""

from __future__ import annotations

import pytest
from conformance.recording import Desk
from hub.acting import Broken, Counter, ask, ended, local, start

from cellmesh.scheduler.objects import codec


def test_an_actor_lives_until_it_is_ended(desk: Desk) -> None:
    info = start(desk, Counter, 5)
    assert (info.title, info.name, info.state) == ("Counter", "", "alive")
    assert [local(desk, info, "add", 1), local(desk, info, "add", 1)] == [6, 7]
    assert [found.id for found in desk.engine.actors.all()] == [info.id]
    assert desk.engine.actors.find("", info.id).actor == info
    desk.engine.actors.end(info.id, "was stopped")
    assert ended(desk, info.id).why.startswith("was stopped")
    assert desk.engine.actors.all() == []
    again = desk.engine.actors.find("", info.id).actor
    assert again is None or again.state == "ended"


def test_an_equal_start_finds_the_living_one_of_the_name(desk: Desk) -> None:
    info = start(desk, Counter, 5, name="llm")
    again = ask(desk, Counter, 5, name="llm")
    assert not again.fresh
    assert again.actor == info == desk.engine.actors.find("llm").actor


def test_an_unequal_start_is_refused_or_replaces_it(desk: Desk) -> None:
    info = start(desk, Counter, 5, name="llm")
    refused = ask(desk, Counter, 7, name="llm", same="2")
    assert refused.actor is None
    assert "%mesh reload llm" in refused.why
    assert "replace=True" in refused.why
    other = start(desk, Counter, 7, name="llm", same="2", replace=True)
    assert ended(desk, info.id).why.startswith("was replaced")
    assert local(desk, other, "add", 0) == 7


def test_after_a_reload_starts_compare_with_the_new_class(desk: Desk) -> None:
    info = start(desk, Counter, name="llm")
    desk.engine.actors.renew(info.id, desk.blob(Counter), "2")
    again = ask(desk, Counter, name="llm", same="2")
    assert again.actor is not None
    assert again.actor.id == info.id


def test_what_cannot_be_made_has_ended_with_its_failure(desk: Desk) -> None:
    answer = ask(desk, Broken)
    assert answer.actor is not None
    assert answer.fresh
    info = answer.actor if answer.actor.state == "ended" else ended(desk, answer.actor.id)
    failure = codec.loads(info.failure)
    assert failure.message == "no model at this path"
    assert desk.engine.actors.all() == []


def test_a_name_that_nobody_has_names_the_near_one(desk: Desk) -> None:
    start(desk, Counter, name="llm")
    answer = desk.engine.actors.find("lm")
    assert answer.actor is None
    assert "llm" in answer.why


def test_reset_ends_them(desk: Desk) -> None:
    info = start(desk, Counter, name="llm")
    desk.engine.reset()
    ended(desk, info.id)
    assert desk.engine.actors.find("llm").actor is None


@pytest.mark.promise("resources")
def test_what_can_never_be_had_is_refused(desk: Desk) -> None:
    answer = ask(desk, Counter, gpus=1)
    assert answer.actor is None
    assert answer.why == "needs 1 GPU; this machine has 0"
