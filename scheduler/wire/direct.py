"""The road from a caller straight to an actor's process: its messages.

Owns the vocabulary and the framing of one stream socket (a Unix socket in the hub's 0700 folder) between a
caller (a kernel, a task, another actor) and a host. A frame is a length (4 bytes, little endian) and the
msgpack of a list of messages: what gathers while a send is under way travels together. The socket keeps the
order; numbers are the caller's own and grow by one with each call. Small arguments and results are inside,
large ones are segments: the side that made one frees it when the other says `Took`, or is gone.
Never imports zmq: a hop more costs more than the call. Read next: `framing.py`, `actors.py`,
`../worker/host/`, `../../kernel/actors/`.
"""

from __future__ import annotations

from typing import Literal

from .records import Payload, Wire
from .work import Output

DIRECT = 6
"""Callers and hosts must agree on this number."""

# --- caller -> host -------------------------------------------------------------------------------


class Greet(Wire, frozen=True):
    """First word of a connection; the same `caller` again after a reconnection or a restart of the actor."""

    protocol: int
    caller: str
    name: str  # for people: who calls


class Call(Wire, frozen=True):
    """Run a method: payload is the pickled (args, kwargs).

    `kind`: "call"; "stream" (a generator method, answered item by item); "cell" (payload: a pickled
    tuple of `CellCode` and the blobs of its names, by digest); "reload" (payload: the pickled new class);
    "save" (a checkpoint now).
    """

    number: int
    method: str
    payload: Payload
    kind: Literal["call", "stream", "cell", "reload", "save"] = "call"
    again: bool = False  # it was sent to an earlier incarnation, and its answer did not come
    room: int = 0  # for "stream": items that may come before the caller asks for more


class CancelCall(Wire, frozen=True):
    """Drop it if it waits; interrupt it if it runs. The state is not touched. Answered by its `Answer`."""

    number: int


class More(Wire, frozen=True):
    """A stream: so many further items may come."""

    number: int
    items: int


class Took(Wire, frozen=True):
    """Both ways: these answers have been taken; segments of these names are in the reader's hands.

    `kept`: what the actor kept for these answers nobody can ask for any more (keys of `Kept`).
    """

    numbers: list[int]
    names: list[str]
    kept: list[int] = []


class Fetch(Wire, frozen=True):
    """Instead of `Greet`: the reader of a pickle wants what was left out of it. It has these places."""

    protocol: int
    key: int
    places: list[str]


class Returned(Wire, frozen=True):
    """Of what was lent: the thing at this place of the list is not used any more."""

    index: int


class AskFacts(Wire, frozen=True):
    request: int


# --- host -> caller -------------------------------------------------------------------------------


class Met(Wire, frozen=True):
    """Answer to `Greet`: who this is, what can be called, and the last of the caller's calls that had begun.

    `streams` are the generator methods, `retry` those that may run twice (`@cm.method(retry=True)`).
    `begun`: the highest number of the caller's calls that an earlier life had begun, if any: what is up to
    it and has no answer must not be sent again, unless it may run twice. Said again when the class was
    reloaded. `done`: with replay, all up to this number have run and are part of the state; answers that
    were not taken are sent again by themselves. `heard` is the highest number that this life has had of the
    caller, and `pending` those up to it that will be answered: calls outlive a torn connection. `origin`
    tells people from which state a later life goes on.
    """

    actor: int
    incarnation: int
    methods: list[str]
    streams: list[str]
    retry: list[str]
    begun: list[int]
    done: int = 0
    heard: int = 0
    pending: list[int] = []
    origin: str = ""


class Refused(Wire, frozen=True):
    """Answer to a `Greet` of another protocol; then it hangs up. Never changes, so that all understand it."""

    protocol: int


class Kept(Wire, frozen=True):
    """What of a result stays with the actor, as it lies in a device's memory, until `Took` names the key."""

    key: int
    size: int
    places: list[str]


class Answer(Wire, frozen=True):
    """A call is over. "failed": payload is a pickled `Failure`. A stream's last word has no payload.

    Loading a payload of which something is `kept` fetches that. `others` is how many calls of other callers
    wait or run.
    """

    number: int
    state: Literal["ok", "failed", "cancelled"]
    payload: Payload = b""
    kept: Kept | None = None
    others: int = 0


class Yielded(Wire, frozen=True):
    """The next items of a stream: a pickled list."""

    number: int
    payload: Payload
    count: int


class Said(Wire, frozen=True):
    """Something that a call printed or displayed (`job` and `task` are 0); number 0: between calls."""

    number: int
    output: Output


class Far(Wire, frozen=True):
    """How far a running call is, by its own word (`cm.track`)."""

    number: int
    done: float
    total: float | None
    text: str


class Facts(Wire, frozen=True):
    """What `%mesh actors` shows beside what the hub knows."""

    request: int
    done: int
    queued: int
    running: int
    gpu_memory: int  # bytes that the process holds on its GPUs; 0 if that is not known
    checkpoint: float  # wall clock of the last one; 0: none
    note: str = ""  # e.g. why checkpoints are off
    memory: int = 0  # bytes that the process holds; 0 if that is not known
    kept: int = 0  # bytes of results and arguments that it keeps on its devices for others
    passed: dict[str, int] = {}  # bytes that others got of these, by the way that they went


class Lent(Wire, frozen=True):
    """Answer to `Fetch`: a pickled list of (function, arguments) that make the values.

    `shared`: they are the memory itself, each to be opened once; else copies. `why` there is nothing; `gone`:
    it is not kept any more.
    """

    shared: bool = False
    payload: Payload = b""
    why: str = ""
    gone: bool = False


ToHost = Greet | Call | CancelCall | More | Took | AskFacts | Fetch | Returned
FromHost = Met | Refused | Answer | Yielded | Said | Far | Took | Facts
