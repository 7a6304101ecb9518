"""Senders that are interrupted, interrupt themselves or are late: every message arrives, nobody hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from cellmesh.scheduler.wire.dealer import Dealer
from cellmesh.scheduler.wire.link import Link
from cellmesh.scheduler.wire.messages import AskStatus, ToHub

PATIENCE = 20.0


class Hub:
    """Takes what a dealer sends, and acknowledges it."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(address)
        self._identity = b""
        self._link: Link[object] = Link(ToHub, self._send)
        self.taken: list[int] = []

    def _send(self, frame: bytes) -> None:
        self._socket.send_multipart([self._identity, frame])

    def take(self, until: int) -> list[int]:
        """All numbers that came, once this one is among them."""
        while until not in self.taken and self.serve(PATIENCE):
            pass
        return self.taken

    def serve(self, patience: float) -> bool:
        """Take and acknowledge one frame; whether any came."""
        if not self._socket.poll(patience * 1000):
            return False
        self._identity, frame = self._socket.recv_multipart()
        for message in self._link.receive(frame):
            if isinstance(message, AskStatus):
                self.taken.append(message.request)
        self._link.flush()
        return True

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(f"ipc://{tmp_path}/s")
    yield hub
    hub.close()


@pytest.fixture
def dealer(hub: Hub, tmp_path: Path) -> Iterator[Dealer[object]]:
    dealer: Dealer[object] = Dealer(
        f"ipc://{tmp_path}/s", b"k1", ToHub, greeting=lambda: AskStatus(0), on_messages=lambda _: None
    )
    dealer.start()
    assert hub.take(0) == [0]
    yield dealer
    dealer.close()


def test_what_an_interrupted_sender_had_sent_half_is_not_overtaken(
    dealer: Dealer[object], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(frame: bytes) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(dealer._link, "_transmit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dealer.post(AskStatus(1))
    dealer.post(AskStatus(2))  # before the dealer's own thread has had its turn, most likely
    assert hub.take(2) == [0, 1, 2]


def test_a_finalizer_may_post_while_its_thread_sends(
    dealer: Dealer[object], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = dealer._link._transmit

    def collecting(frame: bytes) -> None:
        monkeypatch.undo()
        dealer.post(AskStatus(2))
        send(frame)

    monkeypatch.setattr(dealer._link, "_transmit", collecting)
    poster = threading.Thread(target=dealer.post, args=(AskStatus(1),), daemon=True)
    poster.start()
    assert hub.take(2) == [0, 1, 2]
    poster.join(PATIENCE)
    assert not poster.is_alive()


def test_who_drains_waits_until_all_is_acknowledged(dealer: Dealer[object], hub: Hub) -> None:
    done: list[bool] = []
    dealer.post(*(AskStatus(number) for number in range(1, 100)))
    waiter = threading.Thread(target=lambda: done.append(dealer.drain(PATIENCE)), daemon=True)
    waiter.start()
    hub.take(99)
    while waiter.is_alive():
        hub.serve(0.05)
    assert done == [True]


def test_a_closed_dealer_takes_messages_and_touches_no_descriptor(dealer: Dealer[object]) -> None:
    dealer.close()
    dealer.post(AskStatus(1))
    assert not dealer.drain(0)
    dealer.close()
