"""One contender in a process of its own, told by its standard input what to measure.

Owns one contender's life. Each request is a JSON line {"case", "count"}; each answer {"seconds"}.
Read next: `harness.py`.
"""

import json
import os
import sys
import time

from .contenders import load


def main(name: str) -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever contenders print goes beside the answers
    sys.stdout = sys.stderr
    peer = load(name)
    peer.start()
    print(json.dumps({"version": peer.version}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if not peer.can(request["case"]):
            print(json.dumps({"seconds": None}), file=answers, flush=True)
            continue
        start = time.perf_counter()
        getattr(peer, request["case"])(request["count"])
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds / request["count"]}), file=answers, flush=True)
    peer.stop()


if __name__ == "__main__":
    main(sys.argv[1])
