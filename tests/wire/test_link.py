"""Links under every loss and order that a reconnection can bring: each message arrives once, in order."""

from __future__ import annotations

import sys
from itertools import count
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, strategies as st

from cellmesh.scheduler.wire.link import LIFE_BITS, WINDOW, Link


def pair() -> tuple[Link[int], Link[int], list[bytes], list[bytes]]:
    there: list[bytes] = []
    back: list[bytes] = []
    return Link(int, there.append), Link(int, back.append), there, back


def carry(wire: list[bytes], link: Link[int]) -> list[int]:
    taken: list[int] = []
    while wire:
        taken += link.receive(wire.pop(0))
    return taken


def test_a_burst_is_one_frame_and_an_idle_link_sends_nothing() -> None:
    a, b, there, back = pair()
    for number in range(10):
        a.send(number)
    a.flush()
    a.flush()
    assert len(there) == 1
    assert carry(there, b) == list(range(10))
    b.flush()
    assert len(back) == 1  # the acknowledgement
    assert carry(back, a) == []
    assert a.idle
    a.flush()
    b.flush()
    assert there == back == []


def test_without_acknowledgements_only_a_window_of_frames_is_under_way() -> None:
    a, b, there, back = pair()
    for number in range(1000):
        a.send(number)
        a.flush()
    assert len(there) == WINDOW
    taken = carry(there, b)
    while a.backlog:
        b.flush()
        carry(back, a)
        a.flush()
        taken += carry(there, b)
    assert taken == list(range(1000))


@given(st.lists(st.sampled_from(["send", "flush", "carry", "ack", "break", "greet"]), max_size=80))
def test_every_message_arrives_once_and_in_order_over_broken_connections(steps: list[str]) -> None:
    """A client (a) that keeps its messages until acknowledged, and a hub that may be a new one each time.

    The new connection may take frames before the client knows of it and greets the hub.
    """
    there: list[bytes] = []
    back: list[bytes] = []
    a: Link[int] = Link(int, there.append)
    b: Link[int] = Link(int, back.append)
    sent = 0
    taken: list[int] = []
    greeting = -1

    def lose() -> None:
        nonlocal b
        there.clear()  # what was under way is lost
        back.clear()
        life = Link[int](int, back.append)
        life.counts = b.counts
        b = life

    for step in steps:
        if step == "send":
            a.send(sent)
            sent += 1
        elif step == "flush":
            a.flush()
        elif step == "carry":
            taken += carry(there, b)
        elif step == "ack":
            b.flush()
            carry(back, a)
        elif step == "break":
            lose()
        else:
            a.reconnect(greeting)
    lose()
    a.reconnect(greeting)
    for _ in range(sent + 1):
        a.flush()
        taken += carry(there, b)
        b.flush()
        carry(back, a)
    assert [number for number in taken if number != greeting] == list(range(sent))


def test_a_hub_that_came_back_is_heard_before_it_is_greeted() -> None:
    client, hub, _, back = pair()
    hub.send(1)
    hub.flush()
    assert carry(back, client) == [1]
    life: Link[int] = Link(int, back.append)
    life.counts = 0, 1 << LIFE_BITS
    life.send(2)
    life.flush()
    client.reconnect(-1)
    life.send(3)
    life.flush()
    life.resend()
    assert carry(back, client) == [2, 3]


def test_a_hub_that_has_forgotten_a_client_goes_on_where_that_is() -> None:
    client, hub, there, back = pair()
    for number in range(3):
        client.send(number)
        hub.send(number)
        client.flush()
        hub.flush()
    assert carry(there, hub) == carry(back, client) == [0, 1, 2]
    hub.flush()
    assert carry(back, client) == []
    client.send(3)
    client.flush()
    there.clear()  # lost, with the hub
    life: Link[int] = Link(int, back.append)
    client.send(4)
    client.flush()
    assert carry(there, life) == []  # it must not overtake the lost one
    client.reconnect(-1)
    assert carry(there, life) == [-1, 3, 4]
    life.send(5)
    life.flush()
    assert carry(back, client) == [5]
    assert client.idle


@pytest.mark.parametrize("line", range(12))
def test_stop_at_any_line_of_sending_loses_nothing_and_holds_nothing_up(line: int) -> None:
    """As `Dealer` does: what was interrupted is sent again before anything else."""
    a, b, there, back = pair()
    a.send(1)
    a.flush()
    steps = count()

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and frame.f_code is Link.flush.__code__ and next(steps) == line:
            raise KeyboardInterrupt
        return interrupt

    a.send(2)
    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        a.flush()
    except KeyboardInterrupt:
        a.resend()
    finally:
        sys.settrace(before)
    got = carry(there, b)
    b.flush()
    carry(back, a)
    for number in (3, 4):
        a.send(number)
        a.flush()
    got += carry(there, b)
    b.flush()
    carry(back, a)
    assert a.idle
    assert list(dict.fromkeys(got)) == [1, 2, 3, 4], "each of them, in order; one may come twice"
