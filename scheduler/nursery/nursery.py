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

from cellmesh.scheduler.wire import folders, system
from cellmesh.scheduler.wire.control import (
    Channel,
    Children,
    EnsureTemplate,
    KeepTemplates,
    KillProcess,
    ProcessEnded,
    ProcessPaused,
    ProcessStarted,
    StartProcess,
    ToHubControl,
    ToNursery,
)

from .reaping import Coroner, end_all
from .templates import Templates

MOST_HUB_RESTARTS = 5  # in a row, without a minute of peace between them


class Nursery:
    def __init__(self, name: str, owner: int, lock: int, ready: int, umask: int) -> None:
        self._name = name
        self._lock = lock
        self._ready = ready
        self._owner = owner
        self._epoch = 0
        self._hub_pid = 0
        self._hub_starts: list[float] = []
        self._hub: Channel[ToNursery] | None = None
        self._workers: dict[int, int] = {}  # worker -> pid
        self._pids: dict[int, int] = {}  # pid -> worker
        self._early: dict[int, tuple[str, int]] = {}  # exits of pids that a template may tell us of yet
        self._paused: set[int] = set()  # pids of children that are stopped (SIGSTOP)
        self._doomed: set[int] = set()  # workers that were to be killed before they were born
        self._selector = selectors.DefaultSelector()
        self._templates = Templates(name, umask, self._selector, self._born, self._unborn)
        self._coroner = Coroner()
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
        end_all([self._hub_pid, *self._workers.values(), *self._templates.pids()])
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
            unborn = [(worker, 0) for worker in self._templates.expected()]
            self._tell_hub(Children([*self._workers.items(), *unborn]))
            for pid in self._paused & self._pids.keys():
                self._tell_hub(ProcessPaused(self._pids[pid], True))

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
            self._templates.close()
            system.name_process("cellmesh-hub")
            # By name, as templates and workers are: the nursery itself never imports zmq.
            hub = importlib.import_module("cellmesh.scheduler.hub.main")
            code = hub.main(self._name, self._epoch, channel, self._ready)
        except BaseException:  # noqa: BLE001 - a forked child must never return into the nursery
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _tell_hub(self, message: ToHubControl) -> None:
        if self._hub is None:
            return  # it is being restarted; it will be told who lives
        try:
            self._hub.send(message)
        except OSError:
            pass  # its death is on its way to us as SIGCHLD

    def _on_hub(self) -> None:
        if self._hub is None:
            return  # its end came in the same burst
        try:
            orders = self._hub.receive()
        except EOFError:
            self._drop_hub_channel()
            return
        for order in orders:
            match order:
                case EnsureTemplate():
                    self._templates.ensure(order)
                case KeepTemplates(digests):
                    self._templates.keep(digests)
                case StartProcess():
                    self._templates.start_worker(order)
                case KillProcess(worker):
                    self._kill(worker)

    def _drop_hub_channel(self) -> None:
        if self._hub is not None:
            self._selector.unregister(self._hub)
            self._hub.close()
            self._hub = None

    # --- workers -----------------------------------------------------------------------------------

    def _born(self, worker: int, pid: int) -> None:
        self._workers[worker] = pid
        self._pids[pid] = worker
        self._tell_hub(ProcessStarted(worker, pid))
        if pid in self._paused:
            self._tell_hub(ProcessPaused(worker, True))
        end = self._early.pop(pid, None)
        if end is not None:
            self._worker_gone(pid, worker, *end)
        elif worker in self._doomed:
            self._kill(worker)
        self._doomed.discard(worker)

    def _unborn(self, worker: int, why: str) -> None:
        self._doomed.discard(worker)
        self._tell_hub(ProcessEnded(worker, f"could not be started ({why})"))

    def _kill(self, worker: int) -> None:
        pid = self._workers.get(worker)
        if pid is None:
            if self._templates.expects(worker):
                self._doomed.add(worker)
            return  # else it is gone, and its end has been told
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    # --- ends ------------------------------------------------------------------------------------

    def _on_wake(self) -> None:
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                self._pause(pid, os.WIFSTOPPED(status))
            else:
                self._paused.discard(pid)
                self._gone(pid, status, system.peak_memory(usage))

    def _pause(self, pid: int, paused: bool) -> None:
        """Somebody stopped a child (SIGSTOP), or let it go on."""
        (self._paused.add if paused else self._paused.discard)(pid)
        worker = self._pids.get(pid)
        if worker is not None:
            self._tell_hub(ProcessPaused(worker, paused))

    def _gone(self, pid: int, status: int, peak: int) -> None:
        if pid == self._hub_pid:
            while self._hub is not None:
                self._on_hub()  # its last orders; then the end of the stream drops the channel
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
                self._ending = True
            elif not self._ending:
                self._start_hub()
            return
        worker, how = self._pids.get(pid), self._coroner.words(status, peak)
        if worker is not None:
            self._worker_gone(pid, worker, how, peak)
        elif self._templates.gone(pid, how):
            return
        elif self._templates.expected():
            self._early[pid] = how, peak
        else:
            self._early.clear()  # an orphan of some user's code; its number may be a worker's some day

    def _worker_gone(self, pid: int, worker: int, how: str, peak: int) -> None:
        del self._pids[pid]
        self._workers.pop(worker, None)
        try:
            os.killpg(pid, signal.SIGKILL)  # what the user's code started there
        except (ProcessLookupError, PermissionError):
            pass
        self._tell_hub(ProcessEnded(worker, how, peak))


def main(arguments: list[str]) -> None:
    """Entry point of the nursery's process (see `start.py`)."""
    name, owner, lock, ready = arguments
    umask = os.umask(0o077)  # ours alone; what users' code writes follows the user's own
    nursery = Nursery(name, int(owner), int(lock), int(ready), umask)
    nursery.run()
    os.close(int(lock))


__all__ = ["Nursery", "main"]
