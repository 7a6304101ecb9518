"""Hosts that a test starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from worker.hosting import Hosted


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Hosted]]:
    """Starts hosts, and ends those that are left."""
    hosts: list[Hosted] = []

    def begin(kind: type, *args: Any, **options: Any) -> Hosted:
        hosts.append(Hosted(tmp_path_factory.mktemp("h"), kind, *args, **options))
        return hosts[-1]

    yield begin
    for host in hosts:
        host.kill()
