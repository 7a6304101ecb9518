"""What cannot be sent yet is waited for, and not kept."""

from __future__ import annotations

import asyncio
from typing import Any

from distributed.comm import connect, listen

from cellmesh.scheduler.engines.dask.between.streams import sent

SIZE = 64 << 20  # more than any socket takes


def test_a_message_is_sent_when_the_other_side_takes_it() -> None:
    async def main() -> None:
        reading = asyncio.Event()
        got: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def answer(comm: Any) -> None:
            await reading.wait()
            got.set_result(len(await comm.read()))
            await comm.close()

        async with listen("tcp://127.0.0.1", answer) as listener:
            comm = await connect(listener.contact_address)
            sending = asyncio.ensure_future(sent(comm, bytes(SIZE)))
            await asyncio.wait([sending], timeout=0.5)
            assert not sending.done()
            reading.set()
            await sending
            assert await got == SIZE
            await comm.close()

    asyncio.run(asyncio.wait_for(main(), 30))
