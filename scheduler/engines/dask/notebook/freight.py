"""Large values that cells use, on their way to the hosts: over the network once a host, and host to host.

Owns the contents until nobody needs them, and which hosts have them. There each is a segment of the hub's,
which its workers use in place, as on one machine. Never sends what is small. Read next: `worker/stock.py`
(the other end), `fleet.py`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from distributed import Client
from distributed.protocol import to_serialize

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.between.orders import OP
from cellmesh.scheduler.engines.dask.between.streams import sent
from cellmesh.scheduler.engines.dask.worker.stock import CHUNK
from cellmesh.scheduler.objects import makers, segments
from cellmesh.scheduler.wire.messages import Payload, Ref

from .host import Host
from .ways import opened


@dataclass(frozen=True, slots=True)
class Source:
    """Who can send: a Dask worker with the segment, or this notebook."""

    address: str = ""
    name: str = ""


class Freight:
    """Of one session; keeps what is made under `prefix` (`makers.Writes`). `blobs` gives what a digest is."""

    def __init__(self, client: Client, blobs: Callable[[str], Payload]) -> None:
        self._client = client
        self._blobs = blobs
        self.prefix = f"daskcell-{secrets.randbits(32):x}-"
        self._numbers = count(1)
        self._contents: dict[str, bytes] = {}
        self._turn = threading.Lock()
        makers.keep_elsewhere(self.prefix, self)
        segments.elsewhere(self.prefix, lambda ref: self._contents.get(ref.name))

    def close(self) -> None:
        """Nothing is made any more."""
        segments.nowhere(self.prefix)
        makers.close_maker(self.prefix)
        self._contents.clear()

    # --- as `makers.Writes` ---------------------------------------------------------------------------

    def write(self, parts: Sequence[bytes | memoryview], marks: str = "") -> Ref:
        """Keep these parts as one object."""
        content = b"".join(parts)
        ref = Ref(f"{self.prefix}{next(self._numbers):x}{marks}", len(content))
        self._contents[ref.name] = content
        return ref

    def freed(self, name: str) -> None:
        """Nobody needs it any more."""
        self._contents.pop(name, None)

    def let_go(self) -> None:
        """Keep nothing that nobody needs: nothing is."""

    # --- to hosts -------------------------------------------------------------------------------------

    def bring(self, hosts: Iterable[Host], digest: str) -> None:
        """Have these hosts know what this digest stands for. Waits if it is large, and not there yet."""
        data = self._blobs(digest)
        if not isinstance(data, Ref):
            for host in hosts:
                host.engine.put_blob(data, digest)
            return
        with self._turn:
            lack = {host.address: host for host in hosts if digest not in host.large}
            if not lack:
                return
            content = self._contents.get(data.name)
            if content is None:
                raise segments.gone(data)
            marks = segments.PRIVATE if segments.has_mark(data.name, segments.PRIVATE) else ""
            found = self._client.sync(self._spread, list(lack), content, marks)
            for address, name in found.items():
                if isinstance(name, str):
                    lack[address].large.add(digest)
                    lack[address].engine.put_blob(Ref(name, data.size), digest)
        for address, failed in found.items():
            if not isinstance(failed, str):
                raise EngineError(
                    f"{data.size:,d} bytes could not be brought to {lack[address].name} ({failed})."
                ) from failed

    async def _spread(self, addresses: list[str], content: bytes, marks: str) -> dict[str, str | Exception]:
        """Whoever has it sends it to one more: after n turns 2**n have it. The name of each one's segment."""
        found: dict[str, str | Exception] = {}
        left, free = deque(addresses), [Source()]
        running: dict[asyncio.Task[str], tuple[Source, str]] = {}
        while left or running:
            while left and free:
                source, target = free.pop(), left.popleft()
                task = asyncio.ensure_future(self._carry(source, target, content, marks))
                running[task] = source, target
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                source, target = running.pop(task)
                error = task.exception()
                if error is None:
                    name = found[target] = task.result()
                    free += [source, Source(target, name)]
                elif source.address:
                    left.appendleft(target)  # one of the two is gone: without that source it will show which
                elif isinstance(error, Exception):
                    found[target] = error
                    free.append(source)
            free.sort(key=lambda each: bool(each.address))  # this notebook is the last to be asked
        return found

    async def _carry(self, source: Source, target: str, content: bytes, marks: str) -> str:
        comm = await opened(self._client, target)
        try:
            about = {"size": len(content), "marks": marks, "source": source.address, "name": source.name}
            await comm.write({"op": OP, "what": "take", **about})
            if not source.address:
                view = memoryview(content)
                for start in range(0, len(view), CHUNK):
                    await sent(comm, to_serialize(view[start : start + CHUNK]))
            answer: Any = await comm.read()
        finally:
            comm.abort()
        if not isinstance(answer, str):
            raise OSError(answer.get("exception_text", "") if isinstance(answer, dict) else "it was refused")
        return answer
