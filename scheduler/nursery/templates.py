"""Templates: pre-warmed interpreters of the user's, and the workers that are asked of them.

Owns which templates there are and who waits for a fork. Never reaps: the nursery does and tells (`gone`).
Read next: `interpreters.py`, `../worker/template.py`.
"""

import os
import selectors
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.control import (
    Channel,
    EnsureTemplate,
    Fork,
    Forked,
    FromTemplate,
    StartProcess,
    WorkerSpec,
)

from .interpreters import start_template, start_worker

LAST_WORDS = 4096
"""Bytes at the end of the log: it may have gigabytes."""


@dataclass
class Template:
    """A pre-warmed interpreter; `channel` is None where workers are started from nothing."""

    order: EnsureTemplate
    pid: int = 0
    channel: Channel[Forked] | None = None
    waiting: dict[int, WorkerSpec] = field(default_factory=dict)  # asked for, not yet forked


class Templates:
    """All templates of a hub. `born` and `unborn` tell of workers."""

    def __init__(
        self,
        hub: str,
        umask: int,
        selector: selectors.BaseSelector,
        born: Callable[[int, int], None],
        unborn: Callable[[int, str], None],
    ) -> None:
        self._log = str(folders.data_folder(hub) / "workers.log")
        self._umask = umask
        self._selector = selector
        self._born = born
        self._unborn = unborn
        self._templates: dict[str, Template] = {}
        self._leaving: list[Template] = []  # nobody uses them any more, and they have not ended

    def ensure(self, order: EnsureTemplate) -> None:
        """Have this template; it starts now, while other things go on."""
        if order.digest in self._templates:
            return
        template = self._templates[order.digest] = Template(order)
        if order.fork:
            self._start(template)

    def keep(self, digests: list[str]) -> None:
        """End the others."""
        for digest in self._templates.keys() - set(digests):
            template = self._templates.pop(digest)
            if template.pid:
                self._leaving.append(template)
                self._dismiss(template)

    def start_worker(self, order: StartProcess) -> None:
        """Fork a worker, or start one from nothing where templates are not used."""
        template = self._templates[order.template]
        worker = order.spec.worker
        if not template.order.fork:
            try:
                pid = start_worker(template.order.interpreter, order.spec, self._log, self._umask)
            except OSError as error:
                self._unborn(worker, str(error.strerror))
                return
            self._born(worker, pid)
            return
        template.waiting[worker] = order.spec
        if template.channel is None:
            self._start(template)
        if template.channel is not None:
            try:
                template.channel.send(Fork(order.spec))
            except OSError:
                pass  # the template died; its exit answers for all that waited

    def gone(self, pid: int, how: str) -> bool:
        """A child has ended; whether it was a template."""
        for template in self._all():
            if template.pid == pid:
                self._take(template)  # its last words
                self._fail(template, f"its interpreter {how}: {self._last_line()}")
                if template in self._leaving:
                    self._leaving.remove(template)
                return True
        return False

    def expects(self, worker: int) -> bool:
        """Whether this worker has been asked for and not been forked yet."""
        return worker in self.expected()

    def expected(self) -> list[int]:
        """Workers whose forks are under way."""
        return [worker for template in self._all() for worker in template.waiting]

    def pids(self) -> Iterator[int]:
        """Processes of all templates."""
        return (template.pid for template in self._all())

    def close(self) -> None:
        """In a forked child: let go of the templates' sockets."""
        for template in self._all():
            if template.channel is not None:
                template.channel.close()

    def _all(self) -> list[Template]:
        return [*self._templates.values(), *self._leaving]

    def _start(self, template: Template) -> None:
        interpreter = template.order.interpreter
        try:
            template.pid, sock = start_template(interpreter, self._log, self._umask)
        except OSError as error:
            self._fail(template, f"{interpreter.executable}: {error.strerror}")
            return
        template.channel = Channel(sock, FromTemplate)
        self._selector.register(template.channel, selectors.EVENT_READ, lambda: self._take(template))

    def _take(self, template: Template) -> None:
        if template.channel is None:
            return
        try:
            messages = template.channel.receive()
        except EOFError:
            return  # its exit tells the rest
        for message in messages:
            template.waiting.pop(message.worker, None)
            self._born(message.worker, message.pid)
        if template in self._leaving:
            self._dismiss(template)

    def _dismiss(self, template: Template) -> None:
        """It ends when it hears nothing any more; first it forks what it has been asked for."""
        if not template.waiting:
            self._hang_up(template)

    def _hang_up(self, template: Template) -> None:
        if template.channel is not None:
            self._selector.unregister(template.channel)
            template.channel.close()
            template.channel = None

    def _fail(self, template: Template, why: str) -> None:
        waiting, template.waiting = list(template.waiting), {}
        self._hang_up(template)
        template.pid = 0
        for worker in waiting:
            self._unborn(worker, why)

    def _last_line(self) -> str:
        try:
            with open(self._log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_WORDS))
                lines = file.read(LAST_WORDS).decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""
