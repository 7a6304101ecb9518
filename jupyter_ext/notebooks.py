"""Which notebook a kernel belongs to, and the key of the session that the notebook keeps.

Owns the map from notebook path to key, and its moves when files are renamed or deleted. Never talks to a
hub. A key outlives kernels: a new kernel of the same path gets the same key. Keys live as long as the
server does, as its hub does. Read next: `doorbell.py`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from jupyter_core.utils import ensure_async

CONTENTS_EVENTS = "https://events.jupyter.org/jupyter_server/contents_service/v1"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose kernel it is: the session's key, and a name for people."""

    key: str
    name: str


class NotebookKeys:
    """Paths to keys.

    >>> keys = NotebookKeys()
    >>> key = keys.of("a/b.ipynb")
    >>> keys.renamed("a", "c")
    >>> keys.of("c/b.ipynb") == key
    True
    """

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._last: dict[str, str] = {}  # kernel id -> the path at its last ring

    def of(self, path: str) -> str:
        """The key of the notebook at `path`; a new one if there is none yet."""
        return self._keys.setdefault(path.strip("/"), uuid.uuid4().hex)

    def renamed(self, old: str, new: str) -> None:
        """A file or folder was renamed: keys follow; whatever was at `new` before is gone."""
        old, new = old.strip("/"), new.strip("/")
        if old == new:
            return
        moved = {path: key for path, key in self._keys.items() if _within(path, old)}
        self.deleted(old)
        self.deleted(new)
        for path, key in moved.items():
            self._keys[new + path[len(old) :]] = key

    def deleted(self, path: str) -> None:
        """A file or folder is gone; a new one of that name is another notebook."""
        path = path.strip("/")
        self._keys = {known: key for known, key in self._keys.items() if not _within(known, path)}

    def kernel_at(self, kernel_id: str, path: str, in_use: set[str]) -> str:
        """The key for a kernel whose Jupyter session says `path`.

        A session's path can change without a file event (a PATCH of the session, for a file that the
        server does not hold). So if this kernel rang from elsewhere before, and nothing is there any
        more, its key has moved along.
        """
        before = self._last.get(kernel_id)
        if before is not None and before != path and before not in in_use and path not in self._keys:
            self.renamed(before, path)
        self._last[kernel_id] = path
        return self.of(path)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


async def identify(serverapp: Any, keys: NotebookKeys, kernel_id: str) -> Identity | None:
    """The identity of a kernel of this server; None if the server does not know the kernel."""
    if kernel_id not in serverapp.kernel_manager:
        return None
    sessions = await ensure_async(serverapp.session_manager.list_sessions())
    notebooks = [session for session in sessions if session["type"] == "notebook"]
    for session in notebooks:
        if session["kernel"]["id"] == kernel_id:
            path = plain_path(session["path"])
            in_use = {plain_path(other["path"]) for other in notebooks}
            return Identity(keys.kernel_at(kernel_id, path, in_use), path)
    for session in sessions:
        if session["kernel"]["id"] == kernel_id:
            return Identity(f"kernel-{kernel_id}", session["name"] or session["path"])
    return Identity(f"kernel-{kernel_id}", f"kernel {kernel_id[:8]}")


def plain_path(path: str) -> str:
    """A session's path as file events name it: without the drive that collaboration puts before it.

    >>> plain_path("RTC:work/a.ipynb")
    'work/a.ipynb'
    """
    drive, colon, rest = path.partition(":")
    if colon and drive.isidentifier() and "/" not in drive:
        path = rest
    return path.strip("/")


def watch_contents(event_logger: Any, keys: NotebookKeys) -> None:
    """Have keys follow what happens to files, also while their notebooks are closed."""

    async def on_contents(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        if data["action"] == "rename":
            keys.renamed(data["source_path"], data["path"])
        elif data["action"] == "delete":
            keys.deleted(data["path"])

    event_logger.add_listener(schema_id=CONTENTS_EVENTS, listener=on_contents)
