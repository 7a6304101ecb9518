"""The REST routes and the page, behind Jupyter's authentication and its authorizer.

Owns the list of all routes: a test takes them from here and tries each without a token and with a
refusing authorizer. Never talks to the hub itself (`hubs.py`). XSRF protection stays on.
Read next: `stream.py`, `static/page.html`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web

from .hubs import Hubs, plain
from .stream import AUTH_RESOURCE, StreamHandler


class StatusHandler(APIHandler):
    """GET: the hub, its workers and jobs; {"hub": null} before the first ring."""

    auth_resource = AUTH_RESOURCE

    @web.authenticated
    @authorized
    async def get(self) -> None:
        hubs: Hubs = self.settings["cellmesh_hubs"]
        self.finish(json.dumps({"hub": plain(await hubs.status())}))


class StopHandler(APIHandler):
    """POST: end the hub and all that it runs, at once."""

    auth_resource = AUTH_RESOURCE

    @web.authenticated
    @authorized
    async def post(self) -> None:
        hubs: Hubs = self.settings["cellmesh_hubs"]
        await hubs.end()
        self.set_status(204)
        self.finish()


class PageHandler(JupyterHandler):
    """GET: the page that shows the status live."""

    auth_resource = AUTH_RESOURCE

    @web.authenticated
    @authorized
    async def get(self) -> None:
        _ = self.xsrf_token  # sets the cookie that the page's stop button sends back
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(_page())


class SlashHandler(JupyterHandler):
    """GET without the last slash: the page's links are relative, so go there with it."""

    auth_resource = AUTH_RESOURCE

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.redirect(self.request.path + "/")


@cache
def _page() -> str:
    return (Path(__file__).parent / "static" / "page.html").read_text(encoding="utf-8")


def routes() -> list[tuple[Any, ...]]:
    """Every route of the extension, below the server's base URL."""
    return [
        (r"/cellmesh", SlashHandler),
        (r"/cellmesh/", PageHandler),
        (r"/cellmesh/api/status", StatusHandler),
        (r"/cellmesh/api/stop", StopHandler),
        (r"/cellmesh/api/stream", StreamHandler),
    ]
