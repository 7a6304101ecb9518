"""The nursery's loop: children, their ends, and the end of everything.

Owns the hub's restarts, the templates, the workers' process groups and the final sweep. Single-threaded;
never runs user code and never imports zmq, so that forking the hub from it is safe and quick.
Read next: `../hub/main.py`, `../worker/template.py`.
"""

import importlib
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass, field


from cellmesh.scheduler.wire import folders, system
from cellmesh.scheduler.wire.control import (
    Channel,
    Children,
    EnsureTemplate,
    Fork,
    Forked,
    FromTemplate,
    KillProcess,
    ProcessEnded,
    ProcessStarted,
    StartProcess,
    ToNursery,
    WorkerSpec,
)

from .interpreters import start_template, start_worker
from .reaping import describe_exit, end_all

MOST_HUB_RESTARTS = 5  # in a row, without a minute of peace between them


@dataclass
class Template:
    """A pre-warmed interpreter; `channel` is None where workers are started from nothing."""

    order: EnsureTemplate
    pid: int = 0
    channel: Channel[Forked] | None = None
    waiting: dict[int, WorkerSpec] = field(default_factory=dict)  # asked for, not yet forked


class Nursery:
    def __init__(self, name: str, owner: int, lock: int, ready: int) -> None:
        self._name = name
        self._lock = lock
        self._ready = ready
        self._owner = owner
        self._epoch = 0
        self._hub_pid = 0
        self._hub_starts: list[float] = []
        self._hub: Channel[ToNursery] | None = None
        self._templates: dict[str, Template] = {}
        self._workers: dict[int, int] = {}  # worker -> pid
        self._pids: dict[int, int] = {}  # pid -> worker
        self._early: dict[int, int] = {}  # exits of pids that no template has told us of yet
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._ending = False

    def run(self) -> None:
        system.adopt_orphans()
        system.name_process("cellmesh-nurse")
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_wake)
        watch = system.watch_process(self._owner) if self._owner else None
        if watch is not None:
            self._selector.register(watch, selectors.EVENT_READ, self._end)
        elif self._owner and (system.can_watch() or not system.is_alive(self._owner)):
            return  # the owner is gone already
        self._start_hub()
        while not self._ending:
            # Only where owners cannot be watched is there a timeout.
            timeout = 1.0 if self._owner and watch is None else None
            for key, _ in self._selector.select(timeout):
                key.data()
            if timeout and not system.is_alive(self._owner):
                self._ending = True
        end_all([self._hub_pid, *self._workers.values(), *(t.pid for t in self._templates.values())])
        folders.remove_hub(self._name)

    def _end(self) -> None:
        self._ending = True

    def _on_term(self, *_: object) -> None:
        self._ending = True

    # --- the hub ---------------------------------------------------------------------------------

    def _start_hub(self) -> None:
        now = system.monotonic()
        self._hub_starts = [start for start in self._hub_starts if now - start < 60.0] + [now]
        if len(self._hub_starts) > MOST_HUB_RESTARTS:
            print("cellmesh: the hub keeps dying; giving up", file=sys.stderr, flush=True)
            self._ending = True
            return
        self._epoch += 1
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()  # or the hub would keep the nursery's end open, and never see its death
            self._become_hub(theirs)
        theirs.close()
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        self._hub_pid = pid
        self._hub = Channel(ours, ToNursery)
        self._selector.register(self._hub, selectors.EVENT_READ, self._on_hub)
        if self._epoch > 1:
            self._tell_hub(Children(list(self._workers.items())))

    def _become_hub(self, channel: socket.socket) -> None:
        """In the forked child: drop the nursery's things, then run the hub. Never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._selector.close()
            self._wake_read.close()
            self._wake_write.close()
            for template in self._templates.values():
                if template.channel is not None:
                    template.channel.close()
            system.name_process("cellmesh-hub")
            # By name, as templates and workers are: the nursery itself never imports zmq.
            hub = importlib.import_module("cellmesh.scheduler.hub.main")
            code = hub.main(self._name, self._epoch, channel, self._ready)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _tell_hub(self, message: Children | ProcessStarted | ProcessEnded) -> None:
        if self._hub is None:
            return  # it is being restarted; it will be told who lives
        try:
            self._hub.send(message)
        except OSError:
            pass  # its death is on its way to us as SIGCHLD

    def _on_hub(self) -> None:
        assert self._hub is not None
        try:
            orders = self._hub.receive()
        except EOFError:
            self._drop_hub_channel()
            return
        for order in orders:
            match order:
                case EnsureTemplate():
                    self._ensure_template(order)
                case StartProcess():
                    self._start_worker(order)
                case KillProcess(worker):
                    self._kill(worker)

    def _drop_hub_channel(self) -> None:
        if self._hub is not None:
            self._selector.unregister(self._hub)
            self._hub.close()
            self._hub = None

    # --- templates and workers -------------------------------------------------------------------

    def _ensure_template(self, order: EnsureTemplate) -> None:
        if order.digest in self._templates:
            return
        template = self._templates[order.digest] = Template(order)
        if order.fork:
            self._start_template(template)

    def _start_template(self, template: Template) -> None:
        try:
            template.pid, sock = start_template(template.order.interpreter, self._log())
        except OSError as error:
            self._fail_template(template, f"{template.order.interpreter.executable}: {error.strerror}")
            return
        channel: Channel[Forked] = Channel(sock, FromTemplate)
        template.channel = channel
        self._selector.register(channel, selectors.EVENT_READ, lambda: self._on_template(template))

    def _on_template(self, template: Template) -> None:
        assert template.channel is not None
        try:
            forked = template.channel.receive()
        except EOFError:
            return  # its exit tells the rest
        for message in forked:
            template.waiting.pop(message.worker, None)
            self._born(message.worker, message.pid)

    def _start_worker(self, order: StartProcess) -> None:
        template = self._templates[order.template]
        if not template.order.fork:
            try:
                pid = start_worker(template.order.interpreter, order.spec, self._log())
            except OSError as error:
                self._tell_hub(ProcessEnded(order.spec.worker, f"could not be started ({error.strerror})"))
                return
            self._born(order.spec.worker, pid)
            return
        if template.channel is None:
            self._start_template(template)
        if template.channel is None:
            self._tell_hub(ProcessEnded(order.spec.worker, "could not be started (no interpreter)"))
            return
        template.waiting[order.spec.worker] = order.spec
        try:
            template.channel.send(Fork(order.spec))
        except OSError:
            pass  # the template died; its exit answers for all that waited

    def _born(self, worker: int, pid: int) -> None:
        self._workers[worker] = pid
        self._pids[pid] = worker
        self._tell_hub(ProcessStarted(worker, pid))
        status = self._early.pop(pid, None)
        if status is not None:
            self._gone(pid, status)

    def _kill(self, worker: int) -> None:
        pid = self._workers.get(worker)
        if pid is None:
            # Not born yet (its template is slow) or gone: the answer is on its way either way.
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _fail_template(self, template: Template, why: str) -> None:
        for worker in template.waiting:
            self._tell_hub(ProcessEnded(worker, f"could not be started ({why})"))
        template.waiting.clear()
        if template.channel is not None:
            self._selector.unregister(template.channel)
            template.channel.close()
            template.channel = None
        template.pid = 0

    # --- ends ------------------------------------------------------------------------------------

    def _on_wake(self) -> None:
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._gone(pid, status)

    def _gone(self, pid: int, status: int) -> None:
        if pid == self._hub_pid:
            self._drop_hub_channel()
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
                self._ending = True
            elif not self._ending:
                self._start_hub()
            return
        worker = self._pids.pop(pid, None)
        if worker is not None:
            self._workers.pop(worker, None)
            try:
                os.killpg(pid, signal.SIGKILL)  # what the user's code started there
            except (ProcessLookupError, PermissionError):
                pass
            self._tell_hub(ProcessEnded(worker, describe_exit(status)))
            return
        for template in self._templates.values():
            if template.pid == pid:
                for message in self._last_words(template):
                    self._born(message.worker, message.pid)
                self._fail_template(template, f"its interpreter {describe_exit(status)}: {self._log_tail()}")
                return
        self._early[pid] = status

    def _last_words(self, template: Template) -> list[Forked]:
        try:
            messages = template.channel.receive() if template.channel else []
        except EOFError:
            return []
        for message in messages:
            template.waiting.pop(message.worker, None)
        return messages

    def _log(self) -> str:
        return str(folders.data_folder(self._name) / "workers.log")

    def _log_tail(self) -> str:
        try:
            with open(self._log(), errors="replace") as file:
                lines = file.read().strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def main(arguments: list[str]) -> None:
    """Entry point of the nursery's process (see `start.py`)."""
    name, owner, lock, ready = arguments
    os.umask(0o077)
    nursery = Nursery(name, int(owner), int(lock), int(ready))
    nursery.run()
    os.close(int(lock))


__all__ = ["Nursery", "main"]
