"""What happened, for people: the log of a core and the lines of it that concern one task or worker.

Owns the recording. Never influences the core. Read next: `replay.py`, then the tests.
"""

from collections import deque
from dataclasses import dataclass, fields
from typing import Any

from .commands import Command, StartTask
from .core import Core
from .events import Event, WorkerLost, WorkerReady
from .ids import JobId, TaskIndex, WorkerId
from .transitions import InvalidTransition


@dataclass(frozen=True, slots=True)
class Entry:
    """One turn."""

    event: Event
    commands: tuple[Command, ...]


class Recorder:
    """A core that remembers its last `limit` turns."""

    def __init__(self, core: Core | None = None, limit: int = 10_000) -> None:
        self.core = core or Core()
        self.log: deque[Entry] = deque(maxlen=limit)

    def handle(self, event: Event) -> list[Command]:
        """As `Core.handle`; a bug's exception carries the story that led to it."""
        try:
            commands = self.core.handle(event)
        except InvalidTransition as bug:
            self.log.append(Entry(event, ()))
            if bug.job is not None:
                bug.story = self.story(job=JobId(bug.job), task=bug.task)
            elif bug.worker is not None:
                bug.story = self.story(worker=WorkerId(bug.worker))
            raise
        self.log.append(Entry(event, tuple(commands)))
        return commands

    def events(self) -> list[Event]:
        """The events of the log, for `replay.dump`."""
        return [entry.event for entry in self.log]

    def story(
        self, *, job: JobId | None = None, task: TaskIndex | None = None, worker: WorkerId | None = None
    ) -> list[str]:
        """The turns that concern this job (or one task of it), or this worker, one line a fact or order."""
        lines: list[str] = []
        hosts: dict[WorkerId, tuple[JobId, TaskIndex]] = {}  # workers that the task was sent to
        for entry in self.log:
            event = entry.event
            told = [command for command in entry.commands if _concerns(command, job, task, worker)]
            # A death under the task gives no order that names it when the task is only put back.
            on_host = isinstance(event, WorkerLost | WorkerReady) and event.worker in hosts
            if not (told or on_host or _concerns(event, job, task, worker)):
                continue
            lines.append(f"{event.at:.3f} {describe(event, task)}")
            lines += [f"    -> {describe(command)}" for command in told]
            for command in entry.commands:
                if not isinstance(command, StartTask):
                    continue
                if command in told and job is not None:
                    hosts[command.worker] = (command.job, command.task)
                else:
                    hosts.pop(command.worker, None)  # it has gone on to other work
        return lines


def _concerns(thing: Any, job: JobId | None, task: TaskIndex | None, worker: WorkerId | None) -> bool:
    if worker is not None and getattr(thing, "worker", None) == worker:
        return True
    if job is None or getattr(thing, "job", None) != job:
        return False
    if task is None:
        return True
    if hasattr(thing, "task"):
        return bool(thing.task == task)
    tasks = getattr(thing, "tasks", None)
    return tasks is None or any(getattr(each, "index", each) == task for each in tasks)


def describe(thing: Any, task: TaskIndex | None = None) -> str:
    """An event or a command in one short line; of many tasks, the one that is asked for."""
    parts = []
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.name == "at":
            continue
        if field.name == "tasks" and task is not None and value is not None:
            value = tuple(each for each in value if getattr(each, "index", each) == task)
        text = str(value) if isinstance(value, int | str) else repr(value)
        parts.append(f"{field.name}={text if len(text) <= 160 else text[:157] + '...'}")
    return f"{type(thing).__name__}({', '.join(parts)})"
