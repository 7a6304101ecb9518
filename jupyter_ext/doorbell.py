"""The doorbell: a socket by which a kernel of this server asks for the hub, which starts at the first ring.

Owns the socket file and the environment variable that kernels inherit. Never starts a hub itself
(`hubs.py`) and never decides whose kernel it is (`notebooks.py`). The socket lies in the user's private
runtime folder. One request, one answer, each a line of JSON:

    {"protocol": 1, "kernel_id": "...", "pid": 123}
    {"folder": "...", "session": "key", "name": "a.ipynb", "grace": 600.0}    or    {"error": "sentence"}

Read next: `notebooks.py`, `hubs.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from logging import Logger, LoggerAdapter
from pathlib import Path
from typing import Any

from cellmesh.scheduler.nursery.start import HubStartError
from cellmesh.scheduler.wire.folders import DOORBELL_PROTOCOL, FolderError, doorbell_path

from .hubs import Hubs
from .notebooks import NotebookKeys, identify

VARIABLE = "CELLMESH_DOORBELL"
LONGEST_REQUEST = 4096


class Doorbell:
    """Listens from the moment it is made (kernels may start before the loop runs); answers in `serve`."""

    def __init__(
        self,
        hubs: Hubs,
        keys: NotebookKeys,
        serverapp: Any,
        *,
        grace: float,
        log: Logger | LoggerAdapter[Any],
    ) -> None:
        self._hubs = hubs
        self._keys = keys
        self._serverapp = serverapp
        self._grace = grace
        self._log = log
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self.path = doorbell_path(os.getpid())
        self._socket = _listen(self.path)
        self._before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = str(self.path)

    async def serve(self) -> None:
        """Answer rings until closed."""
        if self._socket.fileno() < 0:
            return  # closed before the loop ran
        self._server = await asyncio.start_unix_server(self._take, sock=self._socket, limit=LONGEST_REQUEST)

    def close(self) -> None:
        """Stop listening and remove the socket file."""
        if self._server is not None:
            self._server.close()
        self._socket.close()
        self.path.unlink(missing_ok=True)
        try:
            self.path.parent.rmdir()  # only if nothing else is in it
        except OSError:
            pass
        for task in self._answering:
            task.cancel()
        if os.environ.get(VARIABLE) == str(self.path):
            if self._before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = self._before

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ValueError, OSError) as error:  # a line too long, or the caller hung up
            self._log.debug("cellmesh: a ring went wrong: %s", error)
        finally:
            self._answering.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            protocol, kernel_id = request["protocol"], request["kernel_id"]
        except (ValueError, KeyError, TypeError):
            return {"error": "The Jupyter server's cellmesh extension did not understand the kernel."}
        if protocol != DOORBELL_PROTOCOL:
            return {
                "error": f"The server's cellmesh speaks protocol {DOORBELL_PROTOCOL}, "
                f"the kernel's {protocol}. "
                "Install the same cellmesh version in both environments."
            }
        try:
            identity = await identify(self._serverapp, self._keys, str(kernel_id))
        except Exception:  # noqa: BLE001 - another package's session manager; the kernel waits for a word
            self._log.exception("cellmesh: the server's sessions could not be read")
            return {"error": "The Jupyter server could not tell which notebook this is; see its log."}
        if identity is None:
            return {
                "error": "This process is not a kernel of the Jupyter server whose doorbell it inherited."
            }
        try:
            folder = await self._hubs.ensure()
        except (HubStartError, FolderError) as error:
            self._log.warning("cellmesh: the hub did not start: %s", error)
            return {"error": str(error)}
        return {"folder": str(folder), "session": identity.key, "name": identity.name, "grace": self._grace}


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of a dead process that had our id
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
