"""`cm.actors()`.

Owns who is asked for the table, and for how long. Read next: `cellmesh/widgets/actors.py`.
"""

import time

from cellmesh.kernel import attaching
from cellmesh.widgets.actors import ActorsView, actor_row

from .directory import directory_of
from .handle import Handle

ANSWER_SECONDS = 1.0
"""In which actors tell how they are; one that is busy in C code is listed without that."""


def actors() -> ActorsView[Handle]:
    """The actors of this notebook and the detached ones: a list of handles that shows itself as a table."""
    session = attaching.current()
    session.drain_claims()  # those that nothing refers to any more are none
    directory = directory_of(session)
    callers = [directory.caller(info) for info in session.engine.actors.all()]
    deadline = time.monotonic() + ANSWER_SECONDS
    asked = [(caller, caller.ask_facts()) for caller in callers]
    rows = []
    for caller, request in asked:
        facts = caller.facts(request, max(0.0, deadline - time.monotonic()))
        rows.append(actor_row(caller.info, facts))
    return ActorsView(tuple(Handle(caller) for caller in callers), tuple(rows))
