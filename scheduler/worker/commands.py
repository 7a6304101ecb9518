"""`!command` in a distributed cell: a subprocess whose output comes live.

Owns that one way to start a shell. Never leaves the subprocess behind when the cell is interrupted: it gets
the same SIGINT, and is killed if it does not listen. Read next: `shell.py`.
"""

import codecs
import os
import signal
import subprocess
import sys

_PATIENCE = 1.0


def run(command: str) -> int:
    """Run the command with its output passed on as it comes; answers its exit status."""
    process = subprocess.Popen(  # noqa: S602 - a shell command is what the user typed
        command,
        shell=True,
        executable=os.environ.get("SHELL") or None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that the whole pipeline can be interrupted
    )
    assert process.stdout is not None
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        while data := os.read(process.stdout.fileno(), 64 * 1024):
            sys.stdout.write(decoder.decode(data))
        return process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        process.stdout.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_PATIENCE)
            break
        except subprocess.TimeoutExpired:
            continue
