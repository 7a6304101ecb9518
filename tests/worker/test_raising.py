"""An exception that was taken back never comes, and the interpreter is as it was before."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import faulthandler, sys, threading
from cellmesh.scheduler.worker.raising import raise_in, take_back

faulthandler.dump_traceback_later(20, exit=True)
own = threading.get_ident()
for _ in range(100):
    try:
        raise_in(own, KeyboardInterrupt)
        take_back(own)
    except KeyboardInterrupt:
        take_back(own)  # it came before it could be taken back

def count():
    seen = []

    def trace(frame, event, argument):
        frame.f_trace_opcodes = True
        seen.append(event)
        return trace

    sys.settrace(trace)
    sum([1, 2])
    (lambda: 3)()
    sys.settrace(None)
    return seen

assert "opcode" in count()
print("as before")
"""


def test_what_is_taken_back_leaves_nothing_behind() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.stdout == "as before\n", done.stderr
