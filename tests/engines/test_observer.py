"""Who looks on at a real hub, which forgets it after each answer."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from cellmesh.scheduler.engines.observer import Observer
from cellmesh.scheduler.nursery.start import ensure_hub
from tests.support import leftovers


def test_every_question_is_answered_and_the_last_word_is_heard(runtime: Path) -> None:
    async def look() -> set[int]:
        observer = Observer(ensure_hub(f"test-{uuid.uuid4().hex[:6]}"))
        try:
            pids = {(await observer.status(20)).pid for _ in range(300)}
            await observer.end()
        finally:
            observer.close()
        return pids

    assert len(asyncio.run(look())) == 1
    assert leftovers.wait_until_gone([process.pid for process in leftovers.processes(runtime)]) == []
