"""asyncio code awaits our Futures, in a plain script as in a cell."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from guests.conftest import embedded_only
from guests.waiting import hold, until

import cellmesh as cm
from cellmesh.kernel.session import Session


def test_futures_are_awaited_alone_and_together(pool: Session) -> None:
    async def main() -> tuple[int, list[int], int]:
        alone = await cm.submit(abs, -1)
        together = await asyncio.gather(*[cm.submit(pow, 2, i) for i in range(20)])
        in_thread = await asyncio.to_thread(cm.submit(abs, -3).result)
        return alone, together, in_thread

    assert asyncio.run(main()) == (1, [2**i for i in range(20)], 3)


def test_what_a_task_raised_is_raised_where_it_is_awaited(pool: Session) -> None:
    async def main() -> list[object]:
        with pytest.raises(ZeroDivisionError):
            await cm.submit(divmod, 1, 0)
        return list(await asyncio.gather(cm.submit(abs, -1), cm.submit(divmod, 1, 0), return_exceptions=True))

    good, bad = asyncio.run(main())
    assert good == 1
    assert isinstance(bad, ZeroDivisionError)


def test_a_task_group_and_as_completed(pool: Session) -> None:
    async def square(x: int) -> int:
        return int(await cm.submit(pow, x, 2))

    async def main() -> tuple[list[int], set[int]]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(square(x)) for x in range(5)]
        ready = {await one for one in asyncio.as_completed([square(x) for x in range(3)])}
        return [task.result() for task in tasks], ready

    assert asyncio.run(main()) == ([0, 1, 4, 9, 16], {0, 1, 4})


@embedded_only
def test_a_wait_that_takes_too_long_ends_the_task(pool: Session, tmp_path: Path) -> None:
    async def main() -> cm.Future:
        held = cm.submit(hold, tmp_path / "started", tmp_path / "go")
        await asyncio.to_thread(until, (tmp_path / "started").exists, "it begins")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(held, 0.1)
        return held

    held = asyncio.run(main())
    assert held.cancelled()
    assert list(cm.map(abs, range(-4, 0))) == [4, 3, 2, 1]  # both cores work


@embedded_only
def test_the_loop_goes_on_meanwhile(pool: Session, tmp_path: Path) -> None:
    async def main() -> str:
        held = asyncio.ensure_future(cm.submit(hold, tmp_path / "started", tmp_path / "go"))
        await asyncio.sleep(0)
        (tmp_path / "go").touch()  # by this very loop, which a blocking wait would keep from it
        return str(await asyncio.wait_for(held, 30))

    assert asyncio.run(main()) == "held"


def test_a_plain_script_awaits() -> None:
    code = (
        "import asyncio\n"
        "import cellmesh as cm\n"
        "async def main():\n"
        "    results = cm.map(abs, [-1, -2, -3])\n"
        "    async for x in results:\n"
        "        print(x)\n"
        "    print(await results, await cm.submit(lambda: 'done'))\n"
        "asyncio.run(main())\n"
    )
    environ = {**os.environ, "CELLMESH_CPUS": "2"}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert ended.stdout.split("\n") == ["1", "2", "3", "[1, 2, 3] done", ""], ended.stderr
