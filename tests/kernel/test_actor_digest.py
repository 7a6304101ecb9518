"""Which starts of a name are alike: the same in every process, whatever its hash seed, and for any class."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import abc, collections.abc, dataclasses, enum, functools, threading, typing
import numpy as np
from cellmesh.kernel.actors.digest import same

T = typing.TypeVar("T")

class Member:
    KINDS = {"alpha", "beta", "gamma", "delta"}
    def f(self, x):
        return x in {"alpha", "beta", "gamma"} or [each in ("a", {"b", "c"}) for each in x]

class Generic(typing.Generic[T]):
    x: T

class Abstract(abc.ABC):
    lock = threading.Lock()
    @functools.cached_property
    def v(self):
        return 1
    @abc.abstractmethod
    def g(self): ...

class Like(typing.Protocol):
    def h(self) -> int: ...

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Data:
    x: int = 1
    words: set = dataclasses.field(default_factory=set)

class Mapping(collections.abc.Mapping):
    def __getitem__(self, key): return 1
    def __iter__(self): return iter(())
    def __len__(self): return 0
    @functools.singledispatchmethod
    def one(self, x): return x

class Sub(Member):
    def f(self, x): return super().f(x)

kinds = [Member, Generic, Abstract, Like, Colour, Data, Mapping, Sub]
args = ({"a", "b", "c"}, Data(3, {"x", "y", "z"}), Colour.RED, np.arange(5.0), {"k": {"u", "v"}})
loop = []
loop.append(loop)
found = [same(kind, (*args, loop), {"q": frozenset("lm")}, {"gpus": 1}) for kind in kinds]

class Member:
    KINDS = {"alpha", "beta", "gamma", "epsilon"}
    def f(self, x):
        return x in {"alpha", "beta", "gamma"} or [each in ("a", {"b", "c"}) for each in x]

found.append(same(Member, (), {}, {}))
found.append(same(Member, ({"a"},), {}, {}))
found.append(same(Member, ({"b"},), {}, {}))
assert len(set(found)) == len(found), "each is another"
print(*found)
"""


def test_alike_is_alike_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
