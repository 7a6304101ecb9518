"""What running code sees of a notebook: magics, results shown, figures flushed.

Owns the use of an IPython shell, if there is one: the worker's own, or the kernel's, borrowed by the inline
engine. Works without any, as in a plain script. Never makes a shell. Read next: `cells.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .output import TaskOutput


class Notebook:
    """The notebook's manners for the code that a runner runs."""

    def __init__(self, output: TaskOutput) -> None:
        self.shell: Any = None
        self._output = output

    def transform(self, source: str) -> str:
        """The cell as Python: magics and `!` become calls."""
        if self.shell is None:
            return source if source.endswith("\n") else source + "\n"
        transformed: str = self.shell.transform_cell(source)
        return transformed

    def show(self, value: Any) -> None:
        """Display a cell's last expression."""
        if value is None:
            return
        if self.shell is None:
            self._output.display("result", {"text/plain": repr(value)})
            return
        data, metadata = self.shell.display_formatter.format(value)
        if data:  # empty: the object has displayed itself
            self._output.display("result", data, metadata)

    def before(self) -> None:
        """Code is about to run."""
        if self.shell is not None:
            self.shell.events.trigger("pre_execute")

    def after(self) -> None:
        """Code has run: figures that it drew are shown now."""
        if self.shell is not None:
            self.shell.events.trigger("post_execute")

    def drawn(self) -> Sequence[object]:
        """What is done after each item: a list that is empty as long as nothing is to be done."""
        if self.shell is None:
            return ()
        callbacks: list[object] = self.shell.events.callbacks["post_execute"]
        return callbacks

    @contextmanager
    def scope(self, namespace: dict[str, Any]) -> Iterator[None]:
        """Magics work on this namespace meanwhile."""
        shell = self.shell
        if shell is None or shell.user_ns is namespace:
            yield
            return
        before, shell.user_ns = shell.user_ns, namespace
        try:
            yield
        finally:
            shell.user_ns = before

    @contextmanager
    def borrowed(self, shell: Any) -> Iterator[None]:
        """Use a shell that is somebody else's: its displays come here meanwhile."""
        if shell is None:
            yield
            return
        from .shell import Publisher  # a script without IPython never needs it

        publisher: Any = Publisher()  # type: ignore[no-untyped-call]
        publisher.output = self._output
        before, shell.display_pub = shell.display_pub, publisher
        self.shell = shell
        try:
            yield
        finally:
            shell.display_pub = before
            self.shell = None
