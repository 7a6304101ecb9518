"""Code that comes to a living object: cells that run inside the actor, and classes that it is moved to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import cloudpickle
from worker.hosting import Hosted, Line

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.direct import CancelCall

Start = Callable[..., Hosted]


class Model:
    """What the tests call."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self) -> int:
        self.steps += 1
        return self.steps


def cell(line: Line, source: str, **names: Any) -> int:
    blobs = {name: codec.dumps(value) for name, value in names.items()}
    code = CellCode(source, "/tmp/ipykernel_1/1.py", 1, tuple((name, name) for name in names))
    return line.send("", codec.dumps((code, blobs)), kind="cell")


def test_a_cell_runs_inside_the_actor(start: Start) -> None:
    line = Line(start(Model).address)
    number = cell(line, "print('hello', by)\nself.steps += by\nx = self.steps\nx", by=5)
    assert line.value(number) == 5
    assert [(kind, text) for _, kind, text in line.said[:1]] == [("stdout", "hello 5\n")]
    assert json.loads(line.said[1][2])["data"]["text/plain"] == "5"
    assert line.value(cell(line, "x + await __import__('asyncio').sleep(0, 1)")) == 6
    assert line.ask("step") == 6
    failure = line.failure(cell(line, "y = 1\n1 / 0"))
    assert (failure.type_name, failure.frames[-1].lineno) == ("ZeroDivisionError", 3)
    number = cell(line, "import time\nprint('on')\ntime.sleep(60)")
    line.until(lambda: line.said[-1][2] == "on\n")
    line.tell(CancelCall(number))
    assert line.answer(number).state == "cancelled"
    assert line.value(cell(line, "y")) == 1


def reload(line: Line, kind: type) -> int:
    kind.__qualname__ = "Model"
    return line.send("", cloudpickle.dumps(kind), kind="reload")


def test_new_code_moves_onto_the_living_object(start: Start) -> None:
    class Better:
        def __init__(self) -> None:
            raise AssertionError("the object lives already")

        def step(self) -> str:
            self.steps: int
            self.steps += 10
            return f"better {self.steps}"

        def extra(self) -> None:
            pass

    line = Line(start(Model).address)
    line.ask("step")
    assert line.value(reload(line, Better)) is None
    assert line.met is not None
    assert "extra" in line.met.methods
    assert line.ask("step") == "better 11"


def version(said: str) -> type:
    """A class that makes objects of another one, as cells define them again and again."""

    class Part:
        def say(self) -> str:
            return said

    class Whole:
        made_of = Part

        def __init__(self) -> None:
            self.parts = [self.made_of()]

        def say(self) -> tuple[str, bool]:
            return self.parts[0].say(), isinstance(self.parts[0], self.made_of)

    return Whole


def test_what_the_object_is_made_of_gets_its_new_code_too(start: Start) -> None:
    line = Line(start(version("old")).address)
    assert line.ask("say") == ("old", True)
    line.value(line.send("", cloudpickle.dumps(version("new")), kind="reload"))
    assert line.ask("say") == ("new", True)


def test_a_reload_that_fails_leaves_the_object_as_it_is(start: Start) -> None:
    class Other(list[int]):
        pass

    line = Line(start(Model).address)
    line.ask("step")
    failure = line.failure(reload(line, Other))
    assert failure.type_name == "ReloadError"
    assert "replace=True" in failure.message
    assert line.failure(line.send("", codec.dumps(7), kind="reload")).type_name == "ReloadError"
    assert line.ask("step") == 2
