"""Starts the user's interpreter: as a template to fork from, or as a single worker.

Owns command lines and environments of new interpreters. Never waits for them.
Read next: `../worker/template.py`, `../worker/main.py`.
"""

import os
import secrets
import socket
import subprocess

import msgspec

from cellmesh.scheduler.wire.control import THREAD_CAPS, WorkerSpec
from cellmesh.scheduler.wire.messages import Interpreter

# The kernel's own sys.path, so that workers import what the kernel would; `-m` would change it.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[2].split(chr(10)); "
    "from cellmesh.scheduler.worker.{module} import main; main(sys.argv[1])"
)

HASHES = str(secrets.randbelow(2**32))
"""All workers hash alike, wherever they come from: dask deals out bags by the hashes of their items."""


def start_template(interpreter: Interpreter, log: str, umask: int) -> tuple[int, socket.socket]:
    """Start a template; returns its pid and our end of its control socket."""
    ours, theirs = socket.socketpair()
    try:
        process = _start(interpreter, "template", str(theirs.fileno()), log, umask, (theirs.fileno(),))
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return process.pid, ours


def start_worker(interpreter: Interpreter, spec: WorkerSpec, log: str, umask: int) -> int:
    """Start one worker from nothing; returns its pid."""
    argument = msgspec.json.encode(spec).decode()
    return _start(interpreter, "main", argument, log, umask, ()).pid


def _start(
    interpreter: Interpreter,
    module: str,
    argument: str,
    log: str,
    umask: int,
    fds: tuple[int, ...],
) -> "subprocess.Popen[bytes]":
    environ = dict(interpreter.environ)
    for name in THREAD_CAPS:
        environ.setdefault(name, "1")
    environ.setdefault("PYTHONHASHSEED", HASHES)
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [
                interpreter.executable,
                "-c",
                _BOOT.format(module=module),
                argument,
                "\n".join(interpreter.path),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=interpreter.cwd if os.path.isdir(interpreter.cwd) else "/",
            env=environ,
            start_new_session=True,
            umask=umask,
            pass_fds=fds,
        )
    process.returncode = 0  # the nursery reaps by pid
    return process
