"""Putting something in front of the person: into a cell of the notebook, or on the terminal.

Owns how a message leaves this process. Never decides what is shown. Usable from any thread: ipykernel's
IOPub socket hands messages to a thread of its own. Read next: `outputs.py`.
"""

import sys
from typing import Any, Protocol

from . import stop
from .cells import Cell


class Publisher(Protocol):
    """One way to show things."""

    def stream(self, cell: Cell | None, name: str, text: str) -> None: ...

    def display(
        self,
        cell: Cell | None,
        data: dict[str, Any],
        metadata: dict[str, Any],
        transient: dict[str, Any],
        *,
        update: bool = False,
    ) -> None: ...

    def clear(self, cell: Cell | None, wait: bool) -> None: ...


class KernelPublisher:
    """Messages on IOPub that carry the launching cell's header, whatever runs now."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def _send(self, cell: Cell | None, kind: str, content: dict[str, Any]) -> None:
        kernel = self._kernel
        for stream in (sys.stdout, sys.stderr):
            if hasattr(
                stream, "pub_thread"
            ):  # ipykernel's: what the cell itself printed waits there a moment
                stream.flush()
        parent = {"header": cell.header} if cell is not None else kernel.get_parent("shell")
        kernel.session.send(kernel.iopub_socket, kind, content, parent=parent, ident=kernel._topic(kind))

    def stream(self, cell: Cell | None, name: str, text: str) -> None:
        self._send(cell, "stream", {"name": name, "text": text})

    def display(
        self,
        cell: Cell | None,
        data: dict[str, Any],
        metadata: dict[str, Any],
        transient: dict[str, Any],
        *,
        update: bool = False,
    ) -> None:
        kind = "update_display_data" if update else "display_data"
        self._send(cell, kind, {"data": data, "metadata": metadata, "transient": transient})

    def clear(self, cell: Cell | None, wait: bool) -> None:
        self._send(cell, "clear_output", {"wait": wait})


class PlainPublisher:
    """A terminal or a log: text only, nothing is taken back."""

    def stream(self, cell: Cell | None, name: str, text: str) -> None:
        file = sys.stdout if name == "stdout" else sys.stderr
        file.write(text)
        file.flush()

    def display(
        self,
        cell: Cell | None,
        data: dict[str, Any],
        metadata: dict[str, Any],
        transient: dict[str, Any],
        *,
        update: bool = False,
    ) -> None:
        if not update and data.get("text/plain"):
            self.stream(cell, "stdout", f"{data['text/plain']}\n")

    def clear(self, cell: Cell | None, wait: bool) -> None:
        return


def publisher() -> Publisher:
    """The publisher for where this process runs."""
    kernel = stop.kernel()
    return KernelPublisher(kernel) if kernel is not None else PlainPublisher()
