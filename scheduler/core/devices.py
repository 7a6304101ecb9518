"""Shares of GPUs: which devices a worker gets, and who holds them.

A worker holds whole devices or a part of one. No device is ever promised for more than one: a part goes to
the device that is fullest and still has room, so that whole ones stay whole for those who need them.
Sessions that found too little wait in `State.gpu_waiting`, in the order in which they came to it; they are
asked first whenever devices come free, but a session that fits into what is left does not wait for one that
does not (mesh workers hold theirs until a person stops them: the line could stand for ever).

Owns `State.gpus`. Never starts or stops workers: `growth.py` does. Read next: `growth.py`.
"""

from collections.abc import Iterable

from .events import ONE
from .ids import WorkerId
from .state import Session, State, Worker, WorkerState


def device_count(state: State) -> int:
    """GPUs that this machine has, whoever holds them."""
    return len(state.gpus) - len(state.gone_gpus)


def free_shares(state: State, without: Iterable[WorkerId] = ()) -> dict[str, int]:
    """What is left of each device, in their own order; `without`: as if these workers held none."""
    absent = set(without)
    return {
        device: ONE - sum(share for worker, share in shares.items() if worker not in absent)
        for device, shares in state.gpus.items()
        if device not in state.gone_gpus and device not in state.elsewhere
    }


def choose(free: dict[str, int], amount: int) -> tuple[str, ...] | None:
    """Devices with room for so many thousandths, or None."""
    if amount >= ONE:
        whole = [device for device, share in free.items() if share == ONE]
        count = amount // ONE
        return tuple(whole[:count]) if len(whole) >= count else None
    fitting = [device for device, share in free.items() if share >= amount]
    return (min(fitting, key=lambda device: free[device]),) if fitting else None


def take(free: dict[str, int], devices: tuple[str, ...], amount: int) -> None:
    """Count these devices as taken."""
    for device in devices:
        free[device] -= min(amount, ONE)


def hold(state: State, worker: Worker) -> None:
    """The worker has its devices from now on."""
    for device in worker.gpus:
        state.gpus[device][worker.id] = min(worker.share, ONE)


def let_go(state: State, worker: Worker) -> None:
    """The worker is gone: its devices come free; those that left the machine meanwhile are forgotten."""
    for device in worker.gpus:
        shares = state.gpus[device]
        del shares[worker.id]
        if not shares and device in state.gone_gpus:
            state.gone_gpus.remove(device)
            del state.gpus[device]


def holders(state: State, besides: Session | None = None) -> str:
    """The names of the actors and sessions that hold devices and will not give them back by themselves.

    Of another hub it is only known that there is one.
    The session's own mesh does not count, nor what is ending or idle (idle ones are stopped at once).
    """
    names: dict[str, None] = {"another hub of yours": None} if state.elsewhere else {}
    for holder in {holder for shares in state.gpus.values() for holder in shares}:
        worker = state.workers[holder]
        if worker.state is WorkerState.ENDING:
            continue
        if worker.number is None and worker.state is WorkerState.IDLE:
            continue
        if worker.actor is not None:
            names[state.actors[worker.actor].label] = None
            continue
        if besides is not None and worker.number is not None and worker.session == besides.id:
            continue
        session = state.sessions.get(worker.session)
        if session is not None:
            names[session.name] = None
    return ", ".join(sorted(names))
