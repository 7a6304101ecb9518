"""Actors' lives, as every engine has them; calls go straight to them and are tested elsewhere."""

from __future__ import annotations

import re

import pytest
from conformance.recording import Desk
from hub.acting import Broken, Counter, ask, ended, local, start

from cellmesh.scheduler.objects import codec

pytestmark = pytest.mark.promise("actors")


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
    assert refused.why == (
        'an actor named "llm" lives already, of another class or with other arguments. %mesh reload llm '
        "moves it to the new code and keeps its state; start(..., replace=True) ends it and starts this one"
    )
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
    info = start(desk, Counter, name="llm")
    answer = desk.engine.actors.find("lm")
    assert answer.actor is None
    nobody = 'No actor named "{}" lives in this session, and no detached one. {}'
    assert answer.why == nobody.format("lm", 'Did you mean "llm"?')
    assert desk.engine.actors.find("bert").why == nobody.format("bert", "There are: llm.")
    desk.engine.actors.end(info.id, "was stopped")
    ended(desk, info.id)
    assert desk.engine.actors.find("llm").why.startswith('The actor "llm" was stopped')


def test_a_checkpoint_on_demand_tells_its_size_or_why_there_is_none(desk: Desk) -> None:
    info = start(desk, Counter, 5)
    assert local(desk, info, "", kind="save") > 0
    local(desk, info, "lock")
    with pytest.raises(AssertionError, match="pickle"):
        local(desk, info, "", kind="save")
    assert local(desk, info, "add", 1) == 6


def test_a_batched_method_gives_each_call_its_own(desk: Desk) -> None:
    info = start(desk, Counter, 6)
    assert [local(desk, info, "shares", part) for part in (2, 3)] == [3, 2]
    with pytest.raises(AssertionError, match="no parts"):
        local(desk, info, "shares", 0)
    assert local(desk, info, "halves", 8, 1) == 4
    with pytest.raises(AssertionError, match="was given 1 calls and returned 0 results"):
        local(desk, info, "halves", 8, 0)


def test_reset_ends_them(desk: Desk) -> None:
    info = start(desk, Counter, name="llm")
    desk.engine.reset()
    ended(desk, info.id)
    assert desk.engine.actors.find("llm").actor is None


@pytest.mark.promise("refusals")
def test_what_can_never_be_had_is_refused(desk: Desk) -> None:
    answer = ask(desk, Counter, gpus=1)
    assert answer.actor is None
    assert re.match(r"needs 1 GPU; \w|The inline engine has no GPUs", answer.why)
