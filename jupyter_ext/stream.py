"""The websocket that pushes the hub's status to open pages when it changes.

Owns the set of open sockets and the one task that looks at the hub for all of them, at most twice a
second and only while someone watches. Never takes orders: pages act through REST (`handlers.py`).
Read next: `hubs.py`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.log import app_log
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .hubs import Hubs, plain

AUTH_RESOURCE = "cellmesh"
SECONDS_BETWEEN_LOOKS = 0.5


class Viewers:
    """Everyone who watches."""

    def __init__(self, hubs: Hubs) -> None:
        self._hubs = hubs
        self._sockets: set[StreamHandler] = set()
        self._looking: asyncio.Task[None] | None = None
        self._last: str | None = None

    def add(self, socket: StreamHandler) -> None:
        """A page opened: it gets what is known now, then every change."""
        self._sockets.add(socket)
        if self._last is not None:
            socket.push(self._last)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def discard(self, socket: StreamHandler) -> None:
        """A page closed; with the last one the looking ends."""
        self._sockets.discard(socket)
        if not self._sockets:
            self._stop()

    def close(self) -> None:
        """The server stops."""
        for socket in list(self._sockets):
            socket.close(1001, "The server stops.")
        self._sockets.clear()
        self._stop()

    def _stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._last = None

    async def _look(self) -> None:
        while True:
            try:
                text = json.dumps({"hub": plain(await self._hubs.status())})
            except Exception:  # noqa: BLE001 - or no open page would ever be told anything again
                app_log.exception("cellmesh: the page's look at the hub failed; it goes on")
                text = self._last or json.dumps({"hub": None})
            if text != self._last:
                self._last = text
                for socket in list(self._sockets):
                    socket.push(text)
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


class StreamHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One open page. Origin is checked by WebSocketMixin."""

    auth_resource = AUTH_RESOURCE

    async def get(self, *args: Any, **kwargs: Any) -> None:
        user = self.current_user
        if not user:
            raise web.HTTPError(403)
        allowed = self.authorizer.is_authorized(self, user, "read", self.auth_resource)
        if not await ensure_async(allowed):
            raise web.HTTPError(403)
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        self._viewers.add(self)

    def on_message(self, message: str | bytes) -> None:
        """Pages have nothing to say here."""

    def on_close(self) -> None:
        self._viewers.discard(self)
        super().on_close()

    def push(self, text: str) -> None:
        """Send a snapshot; a page that has just gone is no error."""
        try:
            self.write_message(text)
        except WebSocketClosedError:
            pass

    @property
    def _viewers(self) -> Viewers:
        viewers: Viewers = self.settings["cellmesh_viewers"]
        return viewers
