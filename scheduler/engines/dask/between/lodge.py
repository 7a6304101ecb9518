"""What notebooks, Dask's scheduler and its workers say to each other about actors.

Owns these records. Never sends them. Read next: `scheduler/registry.py`, `worker/lodging.py`,
`notebook/lives.py`.
"""

from __future__ import annotations

from cellmesh.scheduler.wire.actors import ActorInfo, StartActor
from cellmesh.scheduler.wire.records import Interpreter, Wire

LIVES = "cellmesh_lives"
"""The operation of Dask's scheduler, and of the streams to it, that all of this is."""

NEWS = "cellmesh_lives_news"
"""The one with which a notebook listens."""

HELD = "cellmesh_held"
"""In what Dask's scheduler tells of a worker: GPUs that it has, and does not declare as actors hold them."""


class Copy(Wire, frozen=True):
    """What an actor can go on from: with a Dask worker, or else in a `place` that all hosts reach."""

    address: str
    place: str
    name: str
    saved: float  # wall clock of the checkpoint; 0: there is none in it
    whole: bool = False  # with the marks of what its last life had begun


class Wanted(Wire, frozen=True):
    """A notebook wants this actor to live."""

    start: StartActor
    kind: bytes
    interpreter: Interpreter
    session: str
    session_name: str
    kernel: str  # that it ends with, if it has no name
    place: str = ""  # where its checkpoints are kept; "": with another Dask worker


class Found(Wire, frozen=True):
    """How an actor is, and the address of the Dask worker beside which it lives; None: there is none."""

    actor: ActorInfo | None
    worker: str = ""
    why: str = ""
    fresh: bool = False


class Lodge(Wire, frozen=True):
    """To a Dask worker: host this actor; the `serial` of its hosts so far."""

    start: StartActor
    kind: bytes
    interpreter: Interpreter
    owner: str
    owner_name: str
    serial: int
    place: str
    copy: Copy | None


class Moved(Wire, frozen=True):
    """From a Dask worker that closes: the actor has left it."""

    actor: int
    serial: int
    lives: int
    copy: Copy | None
