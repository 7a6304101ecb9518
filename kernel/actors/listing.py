"""`cm.actors()`.

Owns who is asked for the table, and for how long. Read next: `cellmesh/widgets/views.py`.
"""

from cellmesh.kernel import attaching
from cellmesh.kernel.session import Session
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.wire import direct
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.widgets.viewmodel import actor_row
from cellmesh.widgets.views import ActorsView

from .caller import Caller
from .directory import directory_of
from .handle import Handle

MEET_SECONDS = 0.5
ANSWER_SECONDS = 1.0
"""In which actors tell how they are; one that is busy in C code is listed without that."""


def actors() -> ActorsView[Handle]:
    """The actors of this notebook and the detached ones: a list of handles that shows itself as a table."""
    session = attaching.current()
    session.drain_claims()  # those that nothing refers to any more are none
    directory = directory_of(session)
    callers = [directory.caller(info) for info in session.engine.actors.all()]
    alive = [caller for caller in callers if caller.info.state == "alive"]
    session.bell.wait(lambda: all(caller.open for caller in alive), MEET_SECONDS)
    asked = [(caller, _ask(caller)) for caller in callers]
    session.bell.wait(
        lambda: all(not request or caller.facts[request] is not None for caller, request in asked),
        ANSWER_SECONDS,
    )
    rows = [actor_row(caller.info, caller.facts.pop(request, None)) for caller, request in asked]
    return ActorsView(tuple(Handle(caller) for caller in callers), tuple(rows))


def _ask(caller: Caller) -> int:
    """The number of the question how it is; 0 if it cannot be asked."""
    if not caller.open:
        return 0
    request = caller.session.engine.new_job_id()
    caller.facts[request] = None
    caller.post(direct.AskFacts(request), prompt=True)
    return request


def find(session: Session, name: str) -> list[ActorInfo]:
    """The actor of this name, or the replicas; one without a name is found by its pid, as in the table."""
    if name.isdigit():
        found = [info for info in session.engine.actors.all() if str(info.pid) == name]
        if found:
            return found
    answer = session.engine.actors.find(name)
    found = replicas(session, name) if answer.actor is None else [answer.actor]
    if not found:
        raise EngineError(answer.why)
    return found


def replicas(session: Session, name: str) -> list[ActorInfo]:
    """Those that were started as several of this name."""
    found = []
    for info in session.engine.actors.all():
        of, _, number = info.name.rpartition("/")
        if of == name and number.isdigit():
            found.append(info)
    return found if len({info.title for info in found}) == 1 else []
