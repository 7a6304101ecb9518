"""`--timeout` of a cell: the time that all of it may take.

Owns that timer. The limit of one call's run (`timeout=`) is the engine's. Read next: `jobs.py`.
"""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .jobs import Job


def limit(job: "Job", seconds: float) -> None:
    """Cancel whatever is not over in so many seconds; waiting then raises TimeoutError."""

    def expire() -> None:
        if not job.finished:
            job.timed_out = True
            job.cancel()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    job.on_end.append(lambda _: timer.cancel())
