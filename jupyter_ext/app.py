"""The extension as Jupyter Server sees it: settings at the edge, and the wiring of the parts.

Owns the parts' lives: made when the server loads us, ended when it stops. Never does the work itself.
Read next: `doorbell.py`, `notebooks.py`, `hubs.py`, `handlers.py`.
"""

from __future__ import annotations

import os
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, default

from cellmesh.scheduler.wire.folders import FolderError

from .doorbell import Doorbell
from .handlers import routes
from .hubs import Hubs
from .notebooks import NotebookKeys, watch_contents
from .stream import Viewers

DEFAULT_GRACE = 600.0


class CellmeshApp(ExtensionApp):
    """One notebook that drives every core and GPU it can reach."""

    name = "cellmesh"
    extension_url = "/cellmesh/"
    load_other_extensions = True

    grace = Float(
        min=0.0,
        help="Seconds that a notebook's workers, namespaces and jobs outlive its kernel. "
        "The default is the environment variable CELLMESH_GRACE, else 600.",
    ).tag(config=True)

    @default("grace")
    def _default_grace(self) -> float:
        text = os.environ.get("CELLMESH_GRACE", "")
        try:
            grace = float(text) if text else DEFAULT_GRACE
        except ValueError:
            grace = -1.0
        if not 0.0 <= grace < float("inf"):
            self.log.warning(
                "cellmesh: CELLMESH_GRACE=%s is not a number of seconds; using %s.", text, DEFAULT_GRACE
            )
            return DEFAULT_GRACE
        return grace

    def initialize_settings(self) -> None:
        """Make the parts, and put a doorbell into the environment that kernels inherit."""
        assert self.serverapp is not None
        self.keys = NotebookKeys()
        self.hubs = Hubs(log=self.log)
        self.viewers = Viewers(self.hubs)
        self.settings.update({"cellmesh_hubs": self.hubs, "cellmesh_viewers": self.viewers})
        watch_contents(self.serverapp.event_logger, self.keys)
        self.doorbell: Doorbell | None = None
        try:
            doorbell = Doorbell(self.hubs, self.keys, self.serverapp, grace=self.grace, log=self.log)
        except (FolderError, OSError) as error:
            self.log.warning(
                "cellmesh: kernels of this server will use your own hub, not one of the server: %s", error
            )
            return
        self.doorbell = doorbell
        self.serverapp.io_loop.add_callback(doorbell.serve)

    def initialize_handlers(self) -> None:
        """Add the page, the REST routes and the websocket."""
        handlers: list[tuple[Any, ...]] = routes()
        self.handlers.extend(handlers)

    async def stop_extension(self) -> None:
        """The server stops: so does its hub, at once."""
        if self.doorbell is not None:
            self.doorbell.close()
        self.viewers.close()
        await self.hubs.close()
