"""Facts about actors that the shell tells the core, in the past tense.

Owns this part of the vocabulary in. Never carries payloads; calls never come here at all: they go straight
from caller to host. Read next: `events.py`, `actors.py`.
"""

from dataclasses import dataclass

from .ids import ActorId, ClientId, SessionId, WorkerId


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """What the core must know of an actor to give it a process."""

    gpus: int = 0  # thousandths of GPUs that its process holds
    cpus: int = 0  # thousandths of cores that are kept for it
    memory: int = 0  # bytes that it is promised
    restarts: int = 0  # deaths of its process that it survives
    detached: bool = False  # it outlives its session


@dataclass(frozen=True, slots=True)
class ActorRequested:
    """A client wants this actor to live; one with its name may."""

    at: float
    client: ClientId
    request: int
    session: SessionId
    actor: ActorId
    name: str
    title: str
    same: str  # digest of class and arguments
    spec: ActorSpec = ActorSpec()
    replace: bool = False
    lives: int = 0  # that it has had elsewhere
    deaths: int = 0  # of these


@dataclass(frozen=True, slots=True)
class ActorUp:
    """Its process has made the object and answers calls, or (`failed`) could not make it."""

    at: float
    worker: WorkerId
    actor: ActorId
    incarnation: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ActorEndAsked:
    """Somebody asked for its end, or its last reference went; `why` is for people ("was stopped")."""

    at: float
    actor: ActorId
    why: str


@dataclass(frozen=True, slots=True)
class ActorRenewed:
    """Its class was reloaded: named starts compare with this from now on."""

    at: float
    actor: ActorId
    same: str
