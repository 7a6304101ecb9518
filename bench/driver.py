"""One contender in a process of its own, told by its standard input what to measure.

Owns one contender's life. Each request is a JSON line {"case", "count"}; each answer {"figure"}: the seconds
per operation, or what the contender itself measured and returned.
Read next: `harness.py`.
"""

import json
import os
import sys
import time
from typing import Any

from .contenders import load


def main(module: str) -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever contenders print goes beside the answers
    sys.stdout = sys.stderr
    peer = load(module)
    peer.start()
    print(json.dumps({"version": peer.version}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_answer(peer, request["case"], request["count"])), file=answers, flush=True)
    peer.stop()


def _answer(peer: Any, case: str, count: int) -> dict[str, Any]:
    if not peer.can(case):
        return {"figure": None}
    try:
        start = time.perf_counter()
        own = getattr(peer, case)(count)
        seconds = time.perf_counter() - start
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"figure": seconds / count if own is None else own}


if __name__ == "__main__":
    main(sys.argv[1])
