"""Who this process is to a hub: which hub, which session, for how long.

Owns the doorbell's client side and the session key of kernels without a Jupyter server. Never talks to a hub.
A doorbell that does not answer is said in one line and passed over. Read next: `session.py`, DESIGN.md
sections 3 and 4.
"""

import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellmesh.scheduler.engines.contract import SessionSpec
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.wire.folders import DOORBELL_PROTOCOL
from cellmesh.scheduler.wire.messages import Interpreter
from cellmesh.scheduler.wire.version import VERSION

from . import stop

USER_HUB = f"user-{VERSION}"
"""One hub per user, machine and version."""

DOORBELL = "CELLMESH_DOORBELL"
GRACE = "CELLMESH_GRACE"
DEFAULT_GRACE = 600.0
_ANSWER_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Where to attach and as whom; `notes` are lines for the person."""

    folder: Path
    key: str
    name: str
    grace: float
    notes: tuple[str, ...] = ()

    def spec(self) -> SessionSpec:
        return SessionSpec(self.key, self.name, self.grace, interpreter())


def find() -> Identity:
    """The hub of the Jupyter server that started this kernel, else the user's own."""
    doorbell = os.environ.get(DOORBELL)
    notes: tuple[str, ...] = ()
    kernel_id = _kernel_id()
    if doorbell and kernel_id:
        try:
            return _ring(doorbell, kernel_id)
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            notes = (f"the Jupyter server's cellmesh did not answer ({why}); using your own hub.",)
    key, name, grace = own_session()
    return Identity(ensure_hub(name=USER_HUB, owner=None), key, name, grace, notes)


def find_own() -> Identity:
    """The user's hub of this very version, for when the one found speaks another protocol."""
    key, name, grace = own_session()
    note = f"the running hub is of another cellmesh version; this kernel uses your own hub ({USER_HUB})."
    return Identity(ensure_hub(name=USER_HUB, owner=None), key, name, grace, (note,))


def for_this_process(found: Identity) -> Identity:
    """The same hub, as a session of this process alone: another living kernel holds the notebook's."""
    note = f"another running kernel already holds the session of {found.name}; this one gets its own."
    return Identity(found.folder, _process_key(), found.name, 0.0, (*found.notes, note))


def interpreter() -> Interpreter:
    """This Python, and the surroundings that its tasks shall see."""
    environ = {name: value for name, value in os.environ.items() if name != DOORBELL}
    return Interpreter(sys.executable, environ, _cwd(), list(sys.path))


def surroundings() -> tuple[object, ...]:
    """What `interpreter()` is made of, to compare; this is asked before each submit.

    Decoding every variable would cost more than the submit itself, so the raw table is copied where
    there is one.
    """
    raw = getattr(os.environ, "_data", None)
    return (_cwd(), list(sys.path), dict(os.environ) if raw is None else dict(raw))


def own_session() -> tuple[str, str, float]:
    """(key, name, grace) of a kernel or script without a Jupyter server's extension."""
    notebook = _notebook_path()
    if notebook:
        return f"notebook-{notebook}", notebook, _grace(DEFAULT_GRACE)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    name = Path(main).name if main and stop.shell() is None else f"{Path(sys.executable).name} {os.getpid()}"
    return _process_key(), name, 0.0


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the folder was removed under us; tasks get the user's home instead
        return str(Path.home())


def _grace(default: float) -> float:
    text = os.environ.get(GRACE, "")
    try:
        return float(text) if text else default
    except ValueError:
        return default


def _process_key() -> str:
    import psutil  # late: notebooks have other keys

    # The start time tells this process from a later one that gets its number.
    return f"process-{os.getpid()}-{psutil.Process().create_time():.2f}"


def _notebook_path() -> str:
    shell = stop.shell()
    if shell is None or stop.kernel() is None:
        return ""
    reported = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or ""
    return str(Path(reported).absolute()) if reported else ""


def _kernel_id() -> str:
    if stop.kernel() is None:
        return ""
    from ipykernel.connect import get_connection_file

    try:
        stem = Path(get_connection_file()).stem
    except RuntimeError:  # an embedded kernel without a connection file
        return ""
    return stem.removeprefix("kernel-")


def _ring(doorbell: str, kernel_id: str) -> Identity:
    question = {"protocol": DOORBELL_PROTOCOL, "kernel_id": kernel_id, "pid": os.getpid()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bell:
        bell.settimeout(30.0)  # the first ring starts the hub
        bell.connect(doorbell)
        bell.sendall(json.dumps(question).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n") and len(line) < _ANSWER_LIMIT:
            part = bell.recv(_ANSWER_LIMIT)
            if not part:
                break
            line += part
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise ValueError(answer["error"])
    return Identity(
        Path(answer["folder"]), str(answer["session"]), str(answer["name"]), float(answer["grace"])
    )
