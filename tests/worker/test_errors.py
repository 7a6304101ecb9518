"""What is kept of an exception."""

from __future__ import annotations

import pickle
import threading

import pytest
from worker.running import Local

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.describing import describe
from cellmesh.scheduler.objects.failures import Failure, Rebuilt
from cellmesh.scheduler.wire.messages import TaskWire
from cellmesh.scheduler.worker.errors import failure


def _kept(error: BaseException) -> Failure:
    try:
        raise error
    except BaseException as raised:
        return failure(raised, worker="worker 1", sources={})


class PickyError(Exception):
    """Pickles, but does not load again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__("picky")


class MuteError(Exception):
    """Cannot say what it is about."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_that_survives_a_round_trip_goes_along() -> None:
    kept = _kept(KeyError("x"))
    assert kept.exception is not None
    assert pickle.loads(kept.exception).args == ("x",)


@pytest.mark.parametrize("error", [PickyError(1, 2), MuteError(), ValueError(lambda: (yield)), OSError(open)])
def test_whatever_it_is_there_is_a_failure(error: Exception) -> None:
    kept = _kept(error)
    assert kept.type_name == type(error).__name__
    assert kept.text
    assert kept.message is not None


class LockedError(Exception):
    """Holds what cannot be pickled, and more than should travel."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message, threading.Lock())
        self.code = code
        self.lock = threading.Lock()
        self.data = bytes(10_000_000)


class FileError(OSError):
    """Its errno is in no __dict__."""

    def __init__(self, path: str) -> None:
        super().__init__(2, "gone")
        self.path = path
        self.lock = threading.Lock()


class DemandingError(Exception):
    """Cannot even be made without arguments."""

    def __new__(cls, first: int, second: int) -> DemandingError:
        return super().__new__(cls)

    def __init__(self, first: int, second: int) -> None:
        super().__init__("demanding")


def _made(error: BaseException) -> BaseException:
    kept = _kept(error)
    assert kept.exception is not None
    parts = pickle.loads(kept.exception)
    assert isinstance(parts, Rebuilt)
    return parts.make()


def test_an_exception_that_does_not_load_goes_in_parts() -> None:
    made = _made(PickyError(1, 2))
    assert type(made) is PickyError
    assert made.args == ("picky",)


def test_what_of_an_exception_cannot_be_pickled_or_is_large_stays() -> None:
    made = _made(LockedError(5, "shut"))
    assert isinstance(made, LockedError)
    assert made.args[0] == "shut"
    assert "lock" in made.args[1]
    assert made.__dict__ == {"code": 5}


def test_a_large_exception_keeps_its_type() -> None:
    made = _made(ValueError("large", bytes(10_000_000)))
    assert type(made) is ValueError
    assert made.args[0] == "large"
    assert len(made.args[1]) <= 200


def test_an_os_error_in_parts_keeps_its_number() -> None:
    made = _made(FileError("/x"))
    assert isinstance(made, FileError)
    assert (made.errno, made.strerror, made.path) == (2, "gone", "/x")
    assert str(made) == "[Errno 2] gone"


def test_an_exception_that_cannot_be_made_goes_as_text() -> None:
    kept = _kept(DemandingError(1, 2))
    assert kept.exception is None
    assert kept.message == "demanding"


def test_an_exception_class_of_a_cell_is_the_same_class_again() -> None:
    local = Local()
    kept = local.cell(
        "class Mine(Exception):\n    def __init__(self, a, b):\n        super().__init__(a)\nraise Mine(1, 2)"
    )
    made = codec.loads(kept.exception).make()
    assert type(made) is local.runner.namespace["Mine"]
    assert made.args == (1,)


def test_causes_and_notes_are_in_the_text() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            error = ValueError("outer")
            error.add_note("look here")
            raise error from inner
    except ValueError as raised:
        kept = failure(raised, worker="worker 1", sources={})
    assert "KeyError: 'inner'" in kept.text
    assert "direct cause" in kept.text
    assert kept.notes == ("look here",)


def test_a_missing_module_has_a_hint() -> None:
    assert "Install nonesuch" in _kept(ModuleNotFoundError("no", name="nonesuch.part")).hint


def test_a_deep_recursion_stays_small() -> None:
    def deeper(n: int) -> int:
        return deeper(n + 1)

    with pytest.raises(RecursionError) as info:
        deeper(0)
    kept = failure(info.value, worker="worker 1", sources={})
    assert len(kept.frames) == 100
    assert len(kept.text) < 20_000


def test_machinery_is_no_part_of_the_frames() -> None:
    kept = Local().cell("def f():\n    raise ValueError\nf()")
    assert [(frame.name, frame.lineno) for frame in kept.frames] == [("<module>", 4), ("f", 3)]
    assert "runner.py" not in kept.text


def test_machinery_at_the_bottom_is_left_out_too() -> None:
    kept = Local().cell("input('?')")
    assert "cannot ask for input" in kept.message
    assert [frame.name for frame in kept.frames] == ["<module>"]


class _Loud:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("value", [_Loud(), "x" * 10_000, list(range(10_000)), b"x" * 10_000, 7**5000])
def test_descriptions_are_bounded(value: object) -> None:
    assert 0 < len(describe(value)) <= 200


def test_what_pickling_tried_is_no_part_of_the_failure() -> None:
    lock = TaskWire(0, "call", codec.dumps(((), {})), ["f"])
    kept = Local().run(lock, {"f": codec.dumps(threading.Lock)})[0]
    assert kept.type_name == "CannotPickleError"
    assert "direct cause" not in kept.text
