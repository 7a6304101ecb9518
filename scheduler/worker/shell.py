"""The IPython shell of a worker process, so that magics, `display` and matplotlib work as in a notebook.

Owns the `InteractiveShell` singleton and its two doors for displays. Made before the fork, in the template
(`prepare`), and pointed at a worker's namespace and output after it (`adopt`): no threads, no history, no
prompts, no signal handlers. Never runs cells: `cells.py` does. Read next: `notebook.py`.
"""

import sys
import types
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

from . import commands
from .output import TaskOutput

if TYPE_CHECKING:
    from .runner import Runner


class Publisher(DisplayPublisher):
    """`display()` and `clear_output()` become messages."""

    output: TaskOutput | None = None

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *args: Any,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        if self.output is not None:
            self.output.display("update" if update else "display", data, metadata, transient)

    def clear_output(self, wait: bool = False) -> None:
        if self.output is not None:
            self.output.clear(wait)


class Hook(DisplayHook):
    """What user code gets that calls `sys.displayhook` itself."""

    def __call__(self, result: Any = None) -> None:
        shell: Any = self.shell
        publisher = shell.display_pub
        if result is None or not isinstance(publisher, Publisher) or publisher.output is None:
            return
        data, metadata = shell.display_formatter.format(result)
        if data:
            publisher.output.display("result", data, metadata)


class WorkerShell(InteractiveShell):
    """A shell without a terminal and without a front end of its own."""

    display_pub_class = Type(Publisher)
    displayhook_class = Type(Hook)

    def init_virtualenv(self) -> None:
        """The worker runs the kernel's Python already."""

    def enable_gui(self, gui: Any = None) -> None:
        if gui is not None:
            raise NotImplementedError(f"A worker has no screen for {gui!r}; use %matplotlib inline.")

    def ask_exit(self) -> None:
        raise SystemExit

    def system(self, cmd: str) -> None:
        expanded: str = self.var_expand(cmd, depth=1)  # type: ignore[no-untyped-call]
        self.user_ns["_exit_code"] = commands.run(expanded)


def prepare() -> Any:
    """Make the shell, with a fresh `__main__`; nothing is run and no thread is started."""
    if InteractiveShell.initialized():
        return InteractiveShell.instance()
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.cache_size = 0  # Out[] would keep every large result alive
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    shell = WorkerShell.instance(config=config, user_module=main, user_ns=main.__dict__)
    sys.modules["__main__"] = main
    return shell


def adopt(runner: "Runner") -> None:
    """After the fork, in the main thread: this process is the runner's from now on."""
    shell = prepare()
    shell.display_pub.output = runner.output
    shell.builtin_trap.activate()  # get_ipython() everywhere, also in modules and in mapped functions
    sys.displayhook = shell.displayhook
    runner.namespace = shell.user_ns
    runner.notebook.shell = shell
    runner.streams.install()
