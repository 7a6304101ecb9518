"""What a call of an actor that is no more raises.

Owns `ActorDied` and its words. Read next: `caller.py`.
"""

from cellmesh.kernel import outcomes
from cellmesh.scheduler.engines.contract import VersionMismatchError
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.direct import DIRECT
from cellmesh.scheduler.wire.messages import Item


class ActorDied(RuntimeError):  # noqa: N818 - it reads as what happened
    """The actor has ended; the message says when, why, and what it printed last."""


def died(info: ActorInfo, title: str) -> BaseException:
    """What a call raises: what its constructor raised if that is why, else an `ActorDied`."""
    if info.failure:
        error = outcomes.value_of(Item(0, False, info.failure), title)[1]
        assert error is not None
        error.add_note(f"cellmesh: this is what {info.title} raised as it {_became(info)}.")
        return error
    named = f'The actor "{info.name}"' if info.name else f"An actor ({title})"
    return ActorDied(f"{named} {info.why or 'has ended'}")


def _became(info: ActorInfo) -> str:
    if info.incarnation > 1:
        return "was brought back after the death of its process; the actor has ended"
    return "was made; the actor was not started"


def lost(info: ActorInfo, title: str, call: str) -> BaseException:
    """What asking for a result raises that stayed on the actor's device, and went with its process."""
    why = f"has ended ({info.why})" if info.state == "ended" and info.why else "has ended"
    again = "start it again, and call it" if info.state == "ended" else "call it again"
    return ActorDied(
        f"The result of {call} is gone: it was in the GPU memory of the process of {title}, which {why}; "
        f"{again}. A method that returns .cpu() of it, or .result() before, makes it last."
    )


def first_line(info: ActorInfo) -> str:
    """Why it waits or has ended, without its last words."""
    return info.why.partition("\n")[0].removesuffix(". It said last:")


def sealed(title: str, kind: str, name: str, value: object) -> BaseException:
    """What `h.lr = 3` raises: a handle is not the object."""
    where = f"%%distributed --actor {title}" if title else "a named actor and %%distributed --actor NAME"
    return AttributeError(
        f"{kind} has no attribute {name!r} to be set: its state is in its own process. "
        f"Set it there, with a method, or in a cell: {where}, and self.{name} = {value!r:.40}."
    )


def brief(failure: bytes) -> str:
    """A pickled failure in one line: `ValueError: no`."""
    told: Failure = codec.loads(failure)
    return " ".join(f"{told.type_name}: {told.message}".split())[:200]


def unknown(info: ActorInfo, title: str, call: str, *, broke: bool, begun: bool) -> BaseException:
    """What a call raises that had begun as the process died, or as the connection to it `broke`.

    `begun`: it is a stream, and items of it have come.
    """
    what = f"The connection to {title} broke" if broke else f"The process of {title} died"
    again = "" if broke else " (it is back)" if info.state == "alive" else " (it comes back)"
    if begun:
        return ActorDied(f"{what} while {call} was streaming{again}; no more items come.")
    return ActorDied(
        f"{what} while {call} was running{again}. Whether the call had an effect is not known; "
        "@cm.method(retry=True) would have run it again."
    )


def refused(title: str, protocol: int) -> BaseException:
    """What a call raises whose actor's process speaks another protocol."""
    return VersionMismatchError(
        f"The process of {title} was started by another cellmesh: it speaks protocol {protocol} of actors' "
        f"calls, and this process {DIRECT}. Restart the kernel, or stop the actor and start it again."
    )


def unreached(title: str, trouble: str) -> BaseException:
    """What a call raises whose actor's process lives, and hangs up on every connection."""
    why = f" ({trouble})" if trouble else ""
    return ActorDied(
        f"{title} cannot be called: its process lives, but every connection to it breaks{why}. Whether calls "
        "that were running had an effect is not known. Stop it and start it again."
    )
