"""The options of actors, checked.

Owns what `@cm.actor(...)` and `start(...)` take, and what is said about a bad one. Never starts anything.
Read next: `classes.py`, `starting.py`.
"""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from cellmesh.kernel import options as calls
from cellmesh.scheduler.wire.actors import ActorOptions

OPTIONS = (*ActorOptions.__struct_fields__, "name")
STARTING = (*OPTIONS, "replace", "replicas", "kwargs")


def checked(given: Mapping[str, Any], known: tuple[str, ...] = OPTIONS) -> dict[str, Any]:
    """Those that were given (None: not given), read; an error says what is wrong with one."""
    found = {}
    for option, value in given.items():
        if option not in known:
            raise TypeError(f"an actor has no option {option!r}{_near(option, known)}")
        if value is not None:
            found[option] = _READERS[option](value)
    return found


def left(chosen: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen before, without what is given as None now: that is as if it never had been."""
    return {name: value for name, value in chosen.items() if given.get(name, value) is not None}


def check_together(chosen: Mapping[str, Any]) -> None:
    """What cannot go together."""
    if chosen.get("replay") and chosen.get("threads", 1) > 1:
        raise ValueError(
            f"replay=True and threads={chosen['threads']}: calls that run at once leave no order in which "
            "they could be run again. Leave one of the two out (restarts=n alone goes on from a checkpoint)."
        )


def check_named(chosen: Mapping[str, Any]) -> None:
    """What outlives all who refer to it must be found by something."""
    if chosen.get("detached") and not chosen.get("name"):
        raise ValueError(
            'detached=True needs a name: start(..., name="llm"). It lives on when nothing here refers to it, '
            'and is found by that (cm.get_actor("llm"), %mesh free llm).'
        )


def wire(chosen: Mapping[str, Any]) -> ActorOptions:
    """As they travel."""
    return ActorOptions(**{name: chosen[name] for name in ActorOptions.__struct_fields__ if name in chosen})


def check_arguments(kind: type, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
    """A keyword that the class does not take is a misspelled option, most likely; so are other arguments."""
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):
        return  # it does not tell
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        for name in given:
            if name not in signature.parameters:
                hint = _near(name, STARTING) or f", and {kind.__name__} no such argument."
                raise TypeError(f"{kind.__name__}.start has no option {name!r}{hint}") from None
        raise TypeError(f"{kind.__name__}.start: {error}") from None


def text(chosen: Mapping[str, Any]) -> str:
    """As they were typed, those that are not what they would be anyway."""
    usual = msgspec.structs.asdict(ActorOptions())
    return ", ".join(f"{name}={value!r}" for name, value in chosen.items() if value != usual.get(name, ""))


def _near(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.65)
    return f"; did you mean {close[0]}?" if close else ""


# --- reading one option -----------------------------------------------------------------------------


def _cpus(value: Any) -> float:
    if not calls.is_number(value) or not 0 <= value < float("inf"):
        raise ValueError(f"cpus={value!r}: how many cores are kept for it (1, 2, ... or a part like 0.5).")
    return float(value)


def _flag(name: str) -> Any:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name}={value!r}: True or False.")
        return value

    return read


def _whole(name: str, lowest: int, what: str) -> Any:
    def read(value: Any) -> int:
        if not calls.is_whole(value) or value < lowest:
            raise ValueError(f"{name}={value!r}: {what}")
        return int(value)

    return read


def _name(value: Any) -> str:
    if not isinstance(value, str) or (value and not value.strip()):
        raise ValueError(f'name={value!r}: a text, by which cm.get_actor("...") finds it.')
    return value


def _env(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise ValueError(f'env={value!r}: variables and their values: env={{"TOKENIZERS_PARALLELISM": "0"}}.')
    return {name: str(content) for name, content in value.items()}


_READERS: dict[str, Any] = {
    "gpus": calls.read_gpus,
    "cpus": _cpus,
    "memory": calls.size_of,
    "name": _name,
    "restarts": _whole("restarts", 0, "how many deaths of its process it survives (0, 1, 2, ...)."),
    "checkpoint": _flag("checkpoint"),
    "replay": _flag("replay"),
    "threads": _whole("threads", 1, "how many of its calls run at once (1, 2, ...)."),
    "env": _env,
    "detached": _flag("detached"),
    "replace": _flag("replace"),
    "replicas": _whole("replicas", 1, "how many of them there are (1, 2, ...)."),
}
