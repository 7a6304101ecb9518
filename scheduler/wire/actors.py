"""The part of the wire's vocabulary that is about actors' lives: to start, find, restart and end them.

Owns these messages. Calls are not among them: they go straight from caller to host (`direct.py`).
Never holds user objects. Read next: `messages.py`, `../core/actors.py`, `../worker/host/`.
"""

from __future__ import annotations

from .records import (
    ActorInfo as ActorInfo,
    ActorOptions as ActorOptions,
    Payload,
    Wire,
)

# --- client -> hub --------------------------------------------------------------------------------


class StartActor(Wire, frozen=True):
    """Start this actor, or find the living one of the name. Answered by `ActorAnswer`.

    `same` is a digest of class source and arguments: a named start with an equal one returns the
    living actor.
    """

    request: int
    actor: int  # its id, if it is new
    name: str
    title: str
    same: str
    blob: str  # digest of the pickled class (`PutBlob` came before)
    payload: Payload  # pickled (args, kwargs)
    options: ActorOptions
    cell: str = ""
    replace: bool = False  # end the living one of that name first
    lives: int = 0  # that it has had on other hosts
    deaths: int = 0  # of these


class FindActor(Wire, frozen=True):
    """By name, or by id if that is "". Answered by `ActorAnswer`."""

    request: int
    name: str
    actor: int = 0


class ListActors(Wire, frozen=True):
    """Those of the session and the detached ones. Answered by `Actors`."""

    request: int


class EndActor(Wire, frozen=True):
    """`h.stop()`, `%mesh free`, or its last reference went; `ended` is told to all who follow it."""

    actor: int
    why: str


class FollowActor(Wire, frozen=True):
    """Tell this client of every change of the actor (`ActorState`) from now on; starters and finders do."""

    actor: int
    follow: bool = True


class KeepActor(Wire, frozen=True):
    """A handle of it has left the process of the task that started it: it does not end with that process."""

    actor: int


class RenewActor(Wire, frozen=True):
    """The class was reloaded: from now on restarts use this one, and named starts compare with `same`."""

    actor: int
    blob: str
    same: str


class AskRecipe(Wire, frozen=True):
    """What was this actor started with? Answered by `Recipe`. For saving it beyond the hub's end."""

    request: int
    actor: int


# --- hub -> client --------------------------------------------------------------------------------


class ActorAnswer(Wire, frozen=True):
    """`actor` is None if there is none: `why` is a sentence for a person. `fresh`: it did not live before."""

    request: int
    actor: ActorInfo | None
    why: str = ""
    fresh: bool = False


class Actors(Wire, frozen=True):
    request: int
    actors: list[ActorInfo]


class Recipe(Wire, frozen=True):
    """None if it does not live (or is another session's): `kind` is its pickled class."""

    request: int
    start: StartActor | None
    kind: Payload = b""


class ActorState(Wire, frozen=True):
    """Something about the actor changed: it is alive (under this address), restarting, or ended."""

    actor: ActorInfo


# --- hub <-> the actor's process -------------------------------------------------------------------


class HostActor(Wire, frozen=True):
    """Be this actor: load the class, make the object or restore it, listen. Answered by `ActorUp`."""

    actor: int
    incarnation: int
    name: str
    blob: str
    payload: Payload
    options: ActorOptions
    context: str  # digest of the Interpreter record to run under
    home: str  # folder of its checkpoint, its log of calls and its marks: it outlives the process


class ActorSaved(Wire, frozen=True):
    """A checkpoint is in its home since then (wall clock)."""

    actor: int
    at: float


class ActorUp(Wire, frozen=True):
    """The actor can be called at this address; or its class or `__init__` failed (a pickled `Failure`)."""

    actor: int
    incarnation: int
    address: str = ""
    failure: bytes = b""


# --- a process in a cluster <-> the gate of its host: a length (4 bytes) before each message ----------

MOVED = "left"
"""How the reason begins for which an actor has ended here that lives on elsewhere."""


class EnterGate(Wire, frozen=True):
    """First word: of which session this is a process."""

    session: str


class ReadFar(Wire, frozen=True):
    """What is in this segment of another host? Answered by `FarObject`."""

    request: int
    name: str
    size: int


class FarActor(Wire, frozen=True):
    """How an actor is, with an address on this host; names of what it makes elsewhere begin with `prefix`."""

    actor: ActorInfo
    prefix: str = ""  # "": it lives here


class FarObject(Wire, frozen=True):
    request: int
    data: bytes | None


ToGate = EnterGate | FindActor | ListActors | FollowActor | EndActor | ReadFar
FromGate = FarActor | ActorAnswer | Actors | FarObject
