"""The part of the wire's vocabulary that hub and workers speak: runs, interrupts, reports, output.

Owns these messages; `messages.py` has all of them by name. Never holds user objects.
Read next: `messages.py`, `../worker/main.py`.
"""

from __future__ import annotations

from typing import Literal

from .records import Item, Payload, TaskWire, Wire


class Ready(Wire, frozen=True):
    """A worker says hello, or hello again to a hub that came back."""

    protocol: int
    worker: int
    pid: int
    holding: list[tuple[int, int, int]] = []  # (job, task, attempt)
    names: list[str] = []
    hosting: tuple[int, int] | None = None  # (actor, incarnation), if this is an actor's process


class Blob(Wire, frozen=True):
    digest: str
    data: Payload


class Run(Wire, frozen=True):
    attempt: int
    job: int
    task: TaskWire
    context: str  # digest of the Interpreter record to run under
    skip: list[int] = []
    careful: bool = False  # a worker died under it: mark each item, should it happen again


class Interrupt(Wire, frozen=True):
    attempt: int


class Stop(Wire, frozen=True):
    """End by yourself, now."""


class Shed(Wire, frozen=True):
    """Give back the later half of the items of this attempt that have not begun: others are idle."""

    attempt: int


class Forget(Wire, frozen=True):
    """These blobs are no longer needed."""

    digests: list[str]


class Report(Wire, frozen=True):
    """Items that finished; the task is over when `outcome` is set ("ok", "error", "interrupted")."""

    job: int
    task: int
    attempt: int
    items: list[Item]
    outcome: Literal["ok", "error", "interrupted"] | None
    names: list[str] | None = None  # after a cell: what distributed cells have assigned here
    seconds: float = 0.0  # with an outcome: what this run took
    returned: list[int] = []  # items that this attempt will not run: given back when asked (`Shed`)


class Waiting(Wire, frozen=True):
    """The running attempt waits for tasks of its own (it lends its slot), or goes on."""

    attempt: int
    waits: bool


class Draining(Wire, frozen=True):
    """The worker was told that its machine goes away (SIGTERM): no new work, please."""


class Progress(Wire, frozen=True):
    """How far an item is, by its own word (`cm.track`, tqdm). Only the latest matters."""

    job: int
    task: int
    item: int
    done: float
    total: float | None
    text: str = ""


class Output(Wire, frozen=True):
    """Something a worker printed or displayed: to the hub, which keeps it with the job and passes it on.

    `kind`: "stdout", "stderr" (text), "display", "update", "result" (data: JSON of mime bundle,
    metadata and transient), "clear" (text "wait" or ""), "note" (text: what was left out, and where
    it is).
    """

    job: int
    task: int
    worker: int | None
    kind: Literal["stdout", "stderr", "display", "update", "result", "clear", "note"]
    text: str = ""
    data: Payload = b""
