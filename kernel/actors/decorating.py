"""`@cm.actor`.

Owns the decorator. Read next: `classes.py`, `options.py`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from . import options
from .classes import MARK, VERBS, Verb

K = TypeVar("K", bound=type)


@overload
def actor(kind: K, /) -> K: ...
@overload
def actor(
    *,
    gpus: float | None = ...,
    cpus: float | None = ...,
    memory: int | str | None = ...,
    name: str | None = ...,
    restarts: int | None = ...,
    checkpoint: bool | None = ...,
    replay: bool | None = ...,
    threads: int | None = ...,
    env: Mapping[str, str] | None = ...,
    detached: bool | None = ...,
) -> Callable[[K], K]: ...
def actor(kind: Any = None, /, **given: Any) -> Any:
    """Have objects of a class live in processes of their own, and stay alive across cells and kernels.

    @cm.actor(gpus=1, name="llm", restarts=3)
    class Model:
        def __init__(self, path): ...
        def generate(self, prompt): ...

    h = Model.start("weights.pt")   # in a process of its own
    h.generate("hello")             # a Future
    Model("weights.pt")             # here, as if the class were not decorated
    Model.options(gpus=0.5).start("weights.pt")

    Args:
        gpus: GPUs that it holds as long as it lives: whole ones, or a part of one.
        cpus: cores that are kept for it (default 0: it takes what is there).
        memory: bytes that it is promised ("2GB").
        name: by which `cm.get_actor` finds it; it lives with the notebook's session then.
        restarts: how many deaths of its process it survives.
        checkpoint: with restarts: keep its state, in the background (default True).
        replay: log calls before they run; after a death the exact state comes back, if the methods depend on
            nothing but their arguments and the state. Calls of coroutines are run again one after the other,
            batched ones one by one: their results must not depend on what they overlap with.
        threads: how many of its calls run at once (default 1: in order). A call in one of several threads is
            stopped at its next step in Python, not within `time.sleep` or other waits.
        env: environment variables, set before the class is loaded.
        detached: it lives with the hub, and other notebooks find it.
    """
    if kind is not None and given:
        raise TypeError("cm.actor takes the class alone, or options alone: @cm.actor(gpus=1).")
    chosen = options.checked(given)
    options.check_together(chosen)

    def decorate(wanted: Any) -> Any:
        if not isinstance(wanted, type):
            raise TypeError(f"@cm.actor is for classes, not for {wanted!r}; cm.task is for functions.")
        try:
            for verb in VERBS:
                found = inspect.getattr_static(wanted, verb, None)
                users = found.cellmesh_users if isinstance(found, Verb) else () if found is None else (found,)
                setattr(wanted, verb, Verb(verb, users))
            setattr(wanted, MARK, chosen)
        except TypeError:
            raise TypeError(
                f"{wanted.__name__} is not written in Python, and cannot be decorated: make a subclass of it."
            ) from None
        return wanted

    return decorate if kind is None else decorate(kind)
