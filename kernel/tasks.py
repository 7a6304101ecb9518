"""`@cm.task`: a function that knows how it wants to run.

Owns `Task`. Never launches by itself: `calls.py` does. Read next: `options.py`.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from . import options
from .options import Exceptions, Options

if TYPE_CHECKING:
    from .futures import Future
    from .mapping import Results

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """What `@cm.task` makes of a function: `f(x)` runs here, `f.submit(x)` and `f.map(xs)` on workers."""

    def __init__(self, function: Callable[P, R], chosen: Options) -> None:
        update_wrapper(self, function)
        self.function = function
        self.chosen = chosen

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def submit(self, *args: Any, **named: Any) -> "Future":
        """`cm.submit` with this task's options; options given here win."""
        from . import calls

        return calls.submit(self, *args, **named)

    def map(self, *iterables: Any, **named: Any) -> "Results":
        """`cm.map` with this task's options; options given here win."""
        from . import calls

        return calls.map(self, *iterables, **named)

    def options(self, **changes: Any) -> "Task[P, R]":
        """The same function with other options: `f.options(gpus=1).map(xs)`."""
        return Task(self.function, options.changed(self.chosen, changes))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: the object goes to the worker as the first argument."""
        bound = getattr(self.function, "__get__", None)
        if instance is None or bound is None:
            return self
        return Task(bound(instance, owner), self.chosen)

    def __repr__(self) -> str:
        told = [
            f"{name}={getattr(self.chosen, name)!r}"
            for name in Options.__dataclass_fields__
            if getattr(self.chosen, name) != getattr(options.DEFAULT, name)
        ]
        return f"<cellmesh task {options.title_of(self.function)}{': ' if told else ''}{', '.join(told)}>"

    def __reduce__(self) -> Any:
        return Task, (self.function, self.chosen)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    cpus: float | None = ...,
    gpus: float | None = ...,
    memory: int | str | None = ...,
    retries: int | None = ...,
    retry_on: Exceptions | None = ...,
    timeout: float | None = ...,
    priority: int | None = ...,
    name: str | None = ...,
    background: bool | None = ...,
    stop_on_error: bool | None = ...,
    seed: int | None = ...,
    isolate: bool | None = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **given: Any) -> Any:
    """Give a function its options once; they are those of `cm.map`.

    @cm.task(gpus=0.5, retries=3, retry_on=OSError, timeout=60)
    def embed(text): ...

    embed("here")            # runs here, as if it were not decorated
    embed.submit("there")    # a Future
    embed.map(texts)         # Results
    embed.options(gpus=1).map(texts)
    """
    if function is not None and given:
        raise TypeError("cm.task takes the function alone, or options alone: @cm.task(gpus=1).")
    chosen = options.changed(options.DEFAULT, given)

    def decorate(wanted: Callable[..., Any]) -> Task[..., Any]:
        if isinstance(wanted, Task):
            return wanted.options(**given)
        if isinstance(wanted, type) or not callable(wanted):
            what = "a class" if isinstance(wanted, type) else repr(wanted)
            raise TypeError(f"@cm.task is for functions, not for {what}.")
        return Task(wanted, chosen)

    return decorate if function is None else decorate(function)
